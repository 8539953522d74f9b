import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FileFinder } from './junit-files.ts'
import { readJUnit } from './junit.ts'

test('readJUnit: a Surefire report with reruns and flaky failures', () => {
  const { cases } = readJUnit(`<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="com.shop.CartTest" time="1,234.5" tests="4" errors="0" skipped="1" failures="1">
  <properties><property name="a" value="b"/></properties>
  <testcase name="ok" classname="com.shop.CartTest" time="0.25"><system-out><![CDATA[a <b> ]]]]><![CDATA[>]]></system-out></testcase>
  <testcase name="flaky" classname="com.shop.CartTest" time="1,000.5">
    <flakyFailure message="first &lt;try&gt;" type="java.lang.AssertionError"><stackTrace>at one</stackTrace><system-out>out</system-out></flakyFailure>
    <flakyError type="java.lang.Error"><stackTrace>at two</stackTrace></flakyError>
  </testcase>
  <testcase name="broken" classname="com.shop.CartTest$Inner" time="0">
    <failure message="one" type="E">s1</failure>
    <rerunFailure message="two" type="E"><stackTrace>s2</stackTrace></rerunFailure>
    <rerunFailure message="three&#10;lines" type="E"><stackTrace>s3</stackTrace></rerunFailure>
  </testcase>
  <testcase name="left" classname="com.shop.CartTest"><skipped message="not now"/></testcase>
</testsuite>`)
  assert.deepEqual(
    cases.map((one) => [one.name, one.result.status, one.result.durationMs]),
    [
      ['ok', 'passed', 250],
      ['flaky', 'passed', 1_000_500],
      ['broken', 'failed', 0],
      ['left', 'skipped', 0],
    ],
  )
  assert.equal(cases[0]!.result.output, 'a <b> ]]>')
  assert.deepEqual(
    cases[1]!.result.tries!.map((one) => one.errors![0]),
    [
      { message: 'first <try>', type: 'java.lang.AssertionError', stack: 'at one' },
      { message: 'at two', type: 'java.lang.Error', stack: 'at two' },
    ],
  )
  assert.deepEqual(cases[2]!.result.errors, [{ message: 'three\nlines', type: 'E', stack: 's3' }])
  assert.deepEqual(
    cases[2]!.result.tries!.map((one) => one.errors![0]!.message),
    ['one', 'two'],
  )
  assert.equal(cases[3]!.result.reason, 'not now')
  const finder = new FileFinder(['src/test/java/com/shop/CartTest.java', 'src/test/java/com/shop/OrderTest.java'])
  assert.deepEqual(finder.place(cases[0]!), { file: 'src/test/java/com/shop/CartTest.java', name: ['ok'] })
  assert.deepEqual(finder.place(cases[2]!), { file: 'src/test/java/com/shop/CartTest.java', name: ['Inner', 'broken'] })
})

test('readJUnit and FileFinder: pytest, jest-junit, phpunit, gtest, mocha, bats', () => {
  const files = [
    'tests/test_cart.py',
    'tests/test_order.py',
    'src/cart.test.ts',
    'tests/CartTest.php',
    'cart_test',
    'a/x.bats',
    'b/x.bats',
  ]
  const finder = new FileFinder(files)
  const placed = (xml: string) =>
    readJUnit(xml).cases.map((one) => [finder.place(one)?.file, ...(finder.place(one)?.name ?? []), one.result.status])
  const pytest = `<testsuites><testsuite name="pytest" hostname="h"><testcase classname="tests.test_cart.TestTotal" name="test_a[x::y]" time="0.1" />
    <testcase classname="tests.test_order" name="test_b"><error message="failed on setup">tb</error></testcase></testsuite></testsuites>`
  assert.deepEqual(placed(pytest), [
    ['tests/test_cart.py', 'TestTotal', 'test_a[x::y]', 'passed'],
    ['tests/test_order.py', 'test_b', 'failed'],
  ])
  const jest = `<testsuites name="jest tests"><testsuite name="cart" file="/home/me/shop/src/cart.test.ts"><testcase classname="cart adds" name="cart adds"/></testsuite></testsuites>`
  assert.deepEqual(placed(jest), [['src/cart.test.ts', 'cart adds', 'passed']])
  const phpunit = `<testsuites><testsuite name="all"><testsuite name="Tests\\CartTest" file="/app/tests/CartTest.php"><testsuite name="Tests\\CartTest::testSum">
    <testcase name="testSum with data set #0" file="/app/tests/CartTest.php" line="12" class="Tests\\CartTest" classname="Tests.CartTest"><failure type="X">Failed asserting
more</failure></testcase></testsuite></testsuite></testsuite></testsuites>`
  assert.deepEqual(placed(phpunit), [['tests/CartTest.php', 'testSum with data set #0', 'failed']])
  assert.deepEqual(readJUnit(phpunit).cases[0]!.result.errors![0]!.message, 'Failed asserting')
  assert.equal(readJUnit(phpunit).cases[0]!.result.line, 12)
  const gtest = `<testsuites><testsuite name="cart_test"><testcase name="Adds" status="run" result="completed" classname="Cart"/><testcase name="DISABLED_x" status="notrun" result="suppressed" classname="Cart"/></testsuite></testsuites>`
  assert.deepEqual(placed(gtest), [
    ['cart_test', 'Cart', 'Adds', 'passed'],
    ['cart_test', 'Cart', 'DISABLED_x', 'skipped'],
  ])
  const bats = `<testsuites><testsuite name="a/x.bats"><testcase classname="a/x.bats" name="one"/></testsuite><testsuite name="x.bats"><testcase classname="x.bats" name="whose"/></testsuite></testsuites>`
  assert.deepEqual(placed(bats), [
    ['a/x.bats', 'one', 'passed'],
    [undefined, 'passed'],
  ])
})

test('readJUnit: odd but real: control characters, many entities, suite errors, no suite name; broken XML throws', () => {
  const many = '&lt;x&gt; &amp; &#233; &#x1F600; '.repeat(5000)
  const report = readJUnit(
    `\uFEFF<testsuites><testsuite name=""><error message="set-up broke"/><testcase name="a"><failure message="\u001b[31mred\u001b[0m">${many}</failure></testcase></testsuite></testsuites>`,
  )
  assert.equal(report.errors[0]!.error.message, 'set-up broke')
  assert.equal(report.cases[0]!.result.errors![0]!.message, '[31mred[0m')
  assert.ok(report.cases[0]!.result.errors![0]!.stack!.startsWith('<x> & é 😀 <x>'))
  assert.throws(() => readJUnit('<testsuites><testsuite><testcase name="a">'), /\d:\d+: unclosed tag/)
  assert.throws(() => readJUnit(''))
})

test('readJUnit: entities that a report defines itself are not expanded', () => {
  const bomb =
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]><testsuite name="s"><testcase name="t"><system-out>&b;</system-out></testcase></testsuite>'
  let output: string | undefined
  try {
    output = readJUnit(bomb).cases[0]!.result.output
  } catch (error) {
    output = (error as Error).message
  }
  assert.doesNotMatch(output ?? '', /aaaa/)
})
