#!/bin/sh
# package.json is JSON.
node -e 'JSON.parse(require("fs").readFileSync("package.json", "utf8"))'
