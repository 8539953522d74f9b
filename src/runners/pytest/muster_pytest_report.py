"""
Tells Muster what each test did, while pytest runs: one JSON line per event, written straight to the
descriptor so that nothing is lost when the process dies.

pytest runs item by item and plugins may order items across files, so a file is complete when as many
of its items have finished as were collected. With pytest-xdist this runs in the controller, which sees
the workers' reports but not their items. One item is one test, whatever its number of phases (set-up,
call, tear-down), repetitions (pytest-rerunfailures: earlier tries) and subtests (their failures are its).
"""
import json
import os
import re
import select
import time

import pytest

OUTPUT_MAX = 64 * 1024
STACK_MAX = 64 * 1024
MESSAGE_MAX = 8 * 1024


class Channel:
    def __init__(self, descriptor):
        self.pid = os.getpid()
        os.set_inheritable(descriptor, False)
        # A high number, because tests that close "all" descriptors usually begin with the low ones.
        try:
            import fcntl

            self.descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 200)
            os.close(descriptor)
        except (ImportError, OSError):
            self.descriptor = descriptor

    @staticmethod
    def take():
        value = os.environ.pop("MUSTER_CHANNEL_FD", None)
        return None if value is None else Channel(int(value))

    def send(self, event):
        # A fork of the test process that comes back into pytest's code has nothing to report.
        if os.getpid() != self.pid:
            return
        data = memoryview((json.dumps(event) + "\n").encode("ascii"))
        while data:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:
                select.select([], [self.descriptor], [])


class FileState:
    def __init__(self):
        self.started = False
        self.ended = False
        self.seen = False
        self.remaining = 0
        self.duration = 0.0
        self.errors = []
        self.skip = None
        self.statuses = []


class ItemState:
    def __init__(self):
        self.reports = []
        self.tries = []


class Reporter:
    def __init__(self, config, channel, files, task_of, is_file_collector, progress):
        self.config = config
        self.channel = channel
        self.task_of = task_of
        self.is_file_collector = is_file_collector
        self.progress = os.open(progress, os.O_WRONLY | os.O_CREAT, 0o600) if progress else None
        self.files = {file: FileState() for file in files}
        self.task_of_prefix = {}
        self.task_of_nodeid = {}
        self.items = {}
        self.outside_errors = []
        self.counted = False
        self.failed = False

    # Collection

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector):
        if not self.is_file_collector(collector):
            yield
            return
        task = self.task_of(self.config, collector.path)
        state = self.files.get(task)
        self.task_of_prefix[collector.nodeid] = task
        if state is not None:
            state.seen = True
            # Import may take the process down: the runner then finds here whose code it was.
            self.note_progress(task)
        began = time.perf_counter()
        yield
        if state is not None:
            state.duration += time.perf_counter() - began
            self.note_progress("")

    def note_progress(self, task):
        if self.progress is not None:
            # Only the first line counts: cheaper than cutting the file each time.
            os.pwrite(self.progress, (task + "\n").encode("utf-8", "surrogateescape"), 0)

    def pytest_collectreport(self, report):
        if report.outcome == "passed":
            return
        state = self.files.get(self.task(report.nodeid))
        if report.outcome == "skipped":
            if state is not None and state.skip is None:
                state.skip = (report.nodeid, skip_reason(report))
            return
        error = error_of(report, self.config)
        if state is None:
            self.outside_errors.append((report.nodeid, error))
        else:
            state.errors.append(error)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        for item in session.items:
            self.task_of_nodeid[item.nodeid] = self.task_of(self.config, item.path)
        self.count([item.nodeid for item in session.items], False)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node, ids):
        if not self.counted:
            self.count(ids, True)

    def count(self, nodeids, by_workers):
        self.counted = True
        for nodeid in nodeids:
            self.files[self.task(nodeid)].remaining += 1
        for task, state in self.files.items():
            if state.skip is not None:
                nodeid, reason = state.skip
                self.start(task)
                # pytest counts a skipped module as one skipped test, named as in its JUnit report.
                name = task[:-3].replace("/", ".") if nodeid.endswith(".py") else nodeid.split("::")[-1]
                self.send_test(task, state, {"name": [name], "status": "skipped", "durationMs": 0, "reason": reason})
            if state.remaining > 0:
                continue
            if not state.errors and not state.seen and not by_workers:
                state.errors.extend(error for nodeid, error in self.outside_errors if contains(nodeid, task))
                # Not met and nothing explains it: stays unreported, which Muster shows as lost.
                if not state.errors:
                    continue
            self.end(task, state)
        for nodeid, error in self.outside_errors:
            self.send_error(error)

    # Running

    def task(self, nodeid):
        known = self.task_of_nodeid.get(nodeid)
        if known is not None:
            return known
        for prefix in prefixes(nodeid):
            if prefix in self.task_of_prefix:
                return self.task_of_prefix[prefix]
            task = self.task_of(self.config, os.path.join(str(self.config.rootpath), prefix))
            if task in self.files:
                return task
        # An item that a plugin made up: put down to the batch's only file, or to its first.
        return next(iter(self.files)) if "::" in nodeid else None

    def start(self, task):
        state = self.files[task]
        if not state.started:
            state.started = True
            self.channel.send({"type": "file-start", "file": task})

    def end(self, task, state):
        if state.ended:
            return
        self.start(task)
        state.ended = True
        event = {"type": "file-end", "file": task, "durationMs": round(state.duration * 1000, 3)}
        if state.errors:
            self.failed = True
            event["errors"] = state.errors
        elif state.statuses and all(status == "skipped" for status in state.statuses):
            event["skipped"] = True
        self.channel.send(event)

    def pytest_runtest_logstart(self, nodeid, location):
        self.start(self.task(nodeid))

    def pytest_runtest_logreport(self, report):
        task = self.task(report.nodeid)
        self.start(task)
        item = self.items.setdefault(report.nodeid, ItemState())
        item.reports.append(report)
        self.files[task].duration += getattr(report, "duration", 0) or 0
        if report.when not in ("setup", "call", "teardown"):
            # xdist's word for a worker that died with this test; no finish follows.
            self.finish(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid, location):
        item = self.items.get(nodeid)
        if item is None or not item.reports:
            return
        if any(report.outcome == "rerun" for report in item.reports):
            one = summary(item.reports, self.config)
            item.tries.append({key: one[key] for key in ("status", "durationMs", "errors", "output") if key in one})
            item.reports = []
            return
        self.finish(nodeid)

    def finish(self, nodeid):
        item = self.items.pop(nodeid)
        task = self.task(nodeid)
        state = self.files[task]
        test = summary(item.reports, self.config)
        test["name"] = name_path(nodeid)
        location = item.reports[0].location
        if location[1] is not None and nodeid.startswith(location[0].replace(os.sep, "/")):
            test["line"] = location[1] + 1
        if item.tries:
            test["tries"] = item.tries
        self.send_test(task, state, test)
        state.remaining -= 1
        if state.remaining == 0:
            self.end(task, state)

    def send_test(self, task, state, test):
        state.statuses.append(test["status"])
        if test["status"] == "failed":
            self.failed = True
        self.channel.send({"type": "test", "test": dict(test, file=task)})

    # What belongs to no file

    def send_error(self, error):
        self.failed = True
        self.channel.send({"type": "error", "error": error})

    def pytest_internalerror(self, excrepr):
        self.send_error({"message": "pytest INTERNALERROR: " + last_line(str(excrepr)), "stack": cut(str(excrepr), STACK_MAX)})

    def pytest_keyboard_interrupt(self, excinfo):
        self.send_error({"message": cut("pytest was stopped: " + excinfo.exconly(), MESSAGE_MAX)})

    @pytest.hookimpl(hookwrapper=True)
    def pytest_sessionfinish(self, session, exitstatus):
        yield
        status = int(getattr(session, "exitstatus", exitstatus))
        if status not in (0, 5) and not self.failed:
            words = "pytest ended with status %d although no test failed" % status
            self.send_error({"message": words + " (a check of a plugin, such as a coverage threshold; see its output)"})
        self.channel.send({"type": "end"})


def prefixes(nodeid):
    """The parts of a node id that may be its file: what stands before each `::`, longest first."""
    parts = nodeid.split("::")
    for length in range(len(parts), 0, -1):
        yield "::".join(parts[:length])


def contains(nodeid, task):
    return nodeid in ("", ".") or task == nodeid or task.startswith(nodeid.rstrip("/") + "/")


def name_path(nodeid):
    """Classes and function from the outside in. A parameter's id may itself hold `::`."""
    base, bracket, parameters = nodeid.partition("[")
    if "::" not in base:  # the bracket is in the file's name
        base, bracket, parameters = nodeid, "", ""
    names = base.split("::")[1:] or [base]
    names[-1] += bracket + parameters
    return names


def summary(reports, config):
    """One test's result out of the reports of its phases."""
    status = "passed"
    reason = None
    errors = []
    for report in reports:
        if report.outcome in ("failed", "rerun"):
            status = "failed"
            errors.append(error_of(report, config))
        elif is_subtest(report):
            continue
        elif report.outcome == "skipped" and status == "passed":
            status = "skipped"
            xfail = getattr(report, "wasxfail", None)
            reason = skip_reason(report) if xfail is None else labelled("xfail", xfail)
        elif report.outcome == "passed" and hasattr(report, "wasxfail"):
            reason = labelled("xpass", report.wasxfail)
    result = {
        "status": status,
        "durationMs": round(sum(getattr(report, "duration", 0) or 0 for report in reports if not is_subtest(report)) * 1000, 3),
    }
    if errors:
        result["errors"] = errors
    if reason and status != "failed":
        result["reason"] = reason
    output = output_of(reports)
    if output:
        result["output"] = output
    return result


def is_subtest(report):
    # pytest >= 9 and the pytest-subtests plugin; neither class may be imported from the other's place.
    return type(report).__name__ in ("SubtestReport", "SubTestReport")


def labelled(label, reason):
    reason = re.sub(r"^reason: ", "", reason or "")
    return "%s: %s" % (label, reason) if reason else label


def skip_reason(report):
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) and len(longrepr) == 3 else str(longrepr)
    return re.sub(r"^Skipped:? ?", "", text)


def output_of(reports):
    """Each later report repeats the sections of those before; subtests have their own."""
    sections = []
    for report in [one for one in reports if is_subtest(one)] + reports[-1:]:
        for title, content in report.sections:
            if content and title.startswith("Captured") and (title, content) not in sections:
                sections.append((title, content))
    if len(sections) == 1 and sections[0][0].startswith("Captured stdout"):
        return cut(sections[0][1], OUTPUT_MAX)
    return cut("\n".join("--- %s ---\n%s" % section for section in sections), OUTPUT_MAX)


def error_of(report, config):
    text = report.longreprtext if hasattr(report, "longreprtext") else str(report.longrepr)
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash is not None else collect_message(text)
    describe = getattr(report, "_sub_test_description", None) or getattr(report, "sub_test_description", None)
    description = describe() + " " if describe is not None else ""
    where = {"teardown": "tear-down: ", "setup": "set-up: "}.get(getattr(report, "when", None), "")
    error = {"message": cut(description + where + (message or "failed"), MESSAGE_MAX), "stack": cut(text, STACK_MAX)}
    if crash is not None:
        match = re.match(r"([A-Za-z_][\w.]*)(?::|$)", crash.message)
        if match:
            error["type"] = match.group(1)
        elif crash.message.startswith("assert "):
            error["type"] = "AssertionError"
        path = os.path.join(str(config.rootpath), str(crash.path))
        error["file"] = os.path.relpath(path, str(config.invocation_params.dir)).replace(os.sep, "/")
        error["line"] = crash.lineno
    return error


def collect_message(text):
    """Of an import failure, the exception's own line: the last one marked with E, else the last."""
    marked = re.findall(r"^E +(\S.*)$", text, re.MULTILINE)
    return marked[-1] if marked else last_line(text)


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return cut(lines[-1].strip(), MESSAGE_MAX) if lines else ""


def cut(text, length):
    if len(text) <= length:
        return text
    half = length // 2
    return "%s\n… %d characters left out …\n%s" % (text[:half], len(text) - 2 * half, text[-half:])
