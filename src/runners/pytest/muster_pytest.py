"""
Loaded into the project's own pytest (>= 7, Python >= 3.8) with `-p muster_pytest`; knows two modes.

* list: pytest collects as it always does, but no file is opened: each file collector is noted and
  answered with "nothing inside", so no test module is imported. Only where the project has pytest-xdist
  are files that mention `xdist_group` collected for real, because nothing else says what the marks are.
* batch: pytest collects as it always does, with the user's own arguments, but walks only towards the
  files of the batch. Files are not given as arguments, because pytest treats a named file differently
  (python_files and collect_ignore no longer count, rootdir and early conftests change).

MUSTER_PYTEST names a JSON file that says which. In xdist workers only the filter is active.
What each test did is told by muster_pytest_report.
"""
import json
import os
import sys

import pytest

from muster_pytest_report import Channel, Reporter


def _read_order():
    path = os.environ.get("MUSTER_PYTEST")
    if not path:
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)


_order = _read_order()
# Taken at once: programs that the tests start must not find Muster's pipe or path.
_channel = Channel.take()
if _order is not None and "pythonPath" in _order:
    if _order["pythonPath"] is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = _order["pythonPath"]


_tasks = {}


def task_of(config, path):
    """A path as Muster names tasks: POSIX, relative to the directory pytest was started in."""
    task = _tasks.get(path)
    if task is None:
        task = os.path.relpath(str(path), str(config.invocation_params.dir)).replace(os.sep, "/")
        _tasks[path] = task
    return task


def is_file_collector(collector):
    # Package is a File in pytest 7 and a Directory from 8 on.
    return isinstance(collector, pytest.File) and not isinstance(collector, pytest.Package)


def nothing_inside(collector):
    return pytest.CollectReport(nodeid=collector.nodeid, outcome="passed", longrepr=None, result=[])


@pytest.hookimpl(hookwrapper=True)
def pytest_cmdline_main(config):
    # A wrapper, so that it comes before pytest-xdist turns the number into processes. xdist is never
    # switched on here: only where the project uses it does it get the CPUs that Muster granted.
    if _order is not None and _order["mode"] == "batch" and getattr(config.option, "numprocesses", None):
        config.option.numprocesses = _order["cpus"]
        config.option.maxprocesses = None
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    if _order is None:
        return
    if _order["mode"] == "list":
        # An empty report must not replace one of the project's real runs.
        if getattr(config.option, "xmlpath", None):
            config.option.xmlpath = None
        config.args[:] = _without_duplicates(arg.split("::")[0] for arg in config.args)
        # One that can't be imported has its place in the listing, and fails when it runs.
        config.option.continue_on_collection_errors = True
        config.option.maxfail = 0
        config.pluginmanager.register(Lister(config, _order["output"]), "muster-list")
        return
    # Every file gets its verdict: a file that can't be imported doesn't stop the others, and stopping
    # after failures is Muster's to decide, who sees all batches.
    config.option.continue_on_collection_errors = True
    config.option.maxfail = 0
    if not _order["complete"] and getattr(config.option, "cov_fail_under", None):
        # A part of the suite can't reach the whole suite's threshold.
        config.option.cov_fail_under = 0
    selection = Selection(config, _order["files"])
    config.args[:] = selection.arguments(config.args)
    config.pluginmanager.register(selection, "muster-selection")
    if not hasattr(config, "workerinput") and _channel is not None:
        reporter = Reporter(config, _channel, _order["files"], task_of, is_file_collector, _order.get("progress"))
        config.pluginmanager.register(reporter, "muster-report")


def _without_duplicates(arguments):
    return list(dict.fromkeys(arguments))


class Lister:
    def __init__(self, config, output):
        self.config = config
        self.output = output
        self.files = set()
        self.groups = {}
        self.has_groups = config.pluginmanager.hasplugin("xdist")

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector):
        if not is_file_collector(collector):
            return None
        self.files.add(task_of(self.config, collector.path))
        if self.has_groups and mentions_group(collector.path):
            return None
        return nothing_inside(collector)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        for item in getattr(session, "items", ()):  # of collectors that aren't files
            task = task_of(self.config, item.path)
            self.files.add(task)
            for mark in item.iter_markers("xdist_group"):
                self.groups.setdefault(task, set()).add(group_of(mark))
        answer = {
            "files": sorted(self.files),
            "serial": not runs_in_parallel(self.config.option),
            "dependsOn": sorted(self.depends_on()),
        }
        if self.groups:
            answer["groups"] = {task: sorted(names) for task, names in self.groups.items()}
        with open(self.output, "w", encoding="utf-8") as file:
            json.dump(answer, file)

    def depends_on(self):
        """Configuration, conftest files and what they import; the directory that plugins are installed into."""
        root = str(self.config.rootpath)
        if self.config.inipath is not None:
            yield str(self.config.inipath)
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if not path or "muster_pytest" in path:
                continue
            path = os.path.abspath(path)
            if path.startswith(root + os.sep) and "site-packages" not in path:
                yield path
            elif os.path.basename(path) == "conftest.py":
                yield path
        yield os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))
        if self.has_groups:
            # Any of them may mention a group after its next change.
            start = str(self.config.invocation_params.dir)
            for task in self.files:
                yield os.path.normpath(os.path.join(start, task))


def runs_in_parallel(option):
    """pytest-xdist's options, and those of pytest-parallel."""
    return any(getattr(option, name, None) for name in ("numprocesses", "tx", "workers", "tests_per_worker"))


def mentions_group(path):
    try:
        with open(str(path), "rb") as file:
            return b"xdist_group" in file.read()
    except OSError:
        # pytest itself says what is wrong with it when it runs.
        return False


def group_of(mark):
    """As pytest-xdist reads it."""
    return str(mark.args[0] if mark.args else mark.kwargs.get("name", "default"))


class Selection:
    """Keeps collection to the files of the batch."""

    def __init__(self, config, files):
        self.config = config
        self.tasks = set(files)
        start = str(config.invocation_params.dir)
        self.files = {os.path.normpath(os.path.join(start, file)) for file in files}
        self.directories = set()
        for file in self.files:
            parent = os.path.dirname(file)
            while parent not in self.directories:
                self.directories.add(parent)
                parent = os.path.dirname(parent)

    def arguments(self, arguments):
        """Drops named files of other batches; `a.py::test` would otherwise be "not found"."""
        start = str(self.config.invocation_params.dir)
        kept = []
        for argument in arguments:
            path = os.path.normpath(os.path.join(start, argument.split("::")[0]))
            if os.path.isfile(path) and path not in self.files:
                continue
            kept.append(argument)
        return kept

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path):
        path = str(collection_path)
        if path in self.files or path in self.directories:
            return None
        # pytest 7 makes packages out of these; what is inside is answered below.
        if os.path.basename(path) == "__init__.py" and os.path.dirname(path) in self.directories:
            return None
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector):
        if is_file_collector(collector) and task_of(self.config, collector.path) not in self.tasks:
            return nothing_inside(collector)
        return None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items):
        # Only collectors that aren't files can have brought others in.
        items[:] = [item for item in items if task_of(self.config, item.path) in self.tasks]
