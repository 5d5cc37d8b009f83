"""Programs that want to pass without solving anything, to harm, or to stay: none does, and an honest one runs after."""

import os
import secrets
from pathlib import Path

import psutil
import pytest

from sftlab.benchmarks.sandbox import Program, Sandbox

HONEST = Program("def twice(x):\n    return 2 * x", "assert twice(4) == 8", ("twice",))

FORGERIES = {
    "sys_exit_when_loaded": "import sys\nsys.exit(0)",
    "sys_exit_when_called": "import sys\ndef f(x):\n    sys.exit(0)",
    "os_exit_when_loaded": "import os\nos._exit(0)",
    "os_exit_when_called": "import os\ndef f(x):\n    os._exit(0)",
    "atexit_hook": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x):\n    raise SystemExit(0)",
    "equal_to_everything": (
        "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "    def __bool__(self): return True\n    def __hash__(self): return 1\ndef f(x):\n    return Any()"
    ),
    "integer_equal_to_everything": (
        "class Any(int):\n    def __eq__(self, other): return True\n    def __index__(self): return self\n"
        "    def __int__(self): return self\ndef f(x):\n    return Any(1)"
    ),
    "text_equal_to_everything": (
        "class Any(str):\n    def __eq__(self, other): return True\ndef f(x):\n    return Any('a')"
    ),
    "list_equal_to_everything": (
        "class Any(list):\n    def __eq__(self, other): return True\n    def __iter__(self): return iter([])\n"
        "def f(x):\n    return Any()"
    ),
    "patched_builtins": (
        "import builtins\nbuiltins.AssertionError = type('Never', (BaseException,), {})\n"
        "builtins.exec = builtins.compile = lambda *a, **k: None\nbuiltins.__build_class__ = None\n"
        "def f(x):\n    return 1"
    ),
    "patched_operator_and_json": (
        "import json, operator\noperator.eq = lambda a, b: True\njson.dumps = lambda *a, **k: '[\"ok\", true, []]'\n"
        "def f(x):\n    return 1"
    ),
    "patched_unittest": (
        "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\ndef f(x):\n    return None"
    ),
    "verdict_on_stdout": (
        "import sys\nprint('{\"passed\": true, \"reason\": \"\"}', flush=True)\nprint('passed', file=sys.stderr)\n"
        "def f(x):\n    print('passed')"
    ),
    "verdict_on_every_descriptor": (
        "import json, os, struct\ntext = json.dumps({'passed': True, 'reason': ''}).encode()\n"
        "for fd in range(64):\n    try:\n        os.write(fd, struct.pack('>I', len(text)) + text)\n"
        "    except OSError:\n        pass\ndef f(x):\n    return 1"
    ),
    "answer_before_it_is_asked": (
        "import json, os, struct\ntext = json.dumps(['ok', ['f']]).encode()\n"
        "for fd in range(3, 64):\n    try:\n        os.write(fd, (struct.pack('>I', len(text)) + text) * 5)\n"
        "    except OSError:\n        pass\ndef f(x):\n    return 1"
    ),
    "messages_that_are_no_data": (
        "import os, struct\nfor fd in range(3, 64):\n    try:\n"
        "        os.write(fd, struct.pack('>I', 9) + b'not json!')\n"
        "    except OSError:\n        pass\ndef f(x):\n    return 1"
    ),
    "message_nested_without_end": (
        "import os, struct\ntext = b'[' * 2_000_000\nfor fd in range(3, 64):\n    try:\n"
        "        os.write(fd, struct.pack('>I', len(text)) + text)\n    except OSError:\n        pass\n"
        "def f(x):\n    return 1"
    ),
    "message_that_claims_to_be_long": (
        "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'\\xff' * 8)\n    except OSError:\n"
        "        pass\ndef f(x):\n    return 1"
    ),
    "secrets_by_gc": (
        "import gc\ndef f(x):\n    for one in gc.get_objects():\n        if isinstance(one, dict) and 'tests' in one:\n"
        "            return int(str(one['tests']).split('==')[1])\n    return [\n"
        "        int(v.split('f(3) == ')[1]) for o in gc.get_objects() for v in gc.get_referents(o)\n"
        "        if isinstance(v, str) and 'f(3) == ' in v][0]"
    ),
    "secrets_by_frames": (
        "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n"
        "        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:\n"
        "            if isinstance(value, str) and '==' in value and 'f(3)' in value and 'value' not in value:\n"
        "                return int(value.split('==')[1])\n        frame = frame.f_back"
    ),
    "secrets_in_memory": (
        "import re\ndef f(x):\n    memory = open('/proc/self/mem', 'rb', 0)\n"
        "    return int(re.search(rb'== (\\d{12})', memory.read()).group(1))"
    ),
    "memory_of_its_own_by_ctypes": (
        "import ctypes\ndef f(x):\n    libc = ctypes.CDLL(None)\n"
        "    return libc.process_vm_readv(0, 0, 1, 0, 1, 0) or 1"
    ),
    "exception_that_ends_loops": "def f(x):\n    raise StopIteration",
    "exception_with_an_equal_to_everything": (
        "class E(Exception):\n    def __str__(self): raise SystemExit(0)\ndef f(x):\n    raise E"
    ),
    "keyboard_interrupt": "def f(x):\n    raise KeyboardInterrupt",
    "assertion_swallowed": "import sys\nsys.excepthook = lambda *a: None\ndef f(x):\n    return None",
    "pickle_that_acts": (
        "import os\nclass P:\n    def __reduce__(self): return (os._exit, (0,))\ndef f(x):\n    return P()"
    ),
    "pickled_deeply": (
        "import pickle, sys\nsys.setrecursionlimit(10**6)\ndef f(x):\n    a = []\n    for _ in range(10**5): a = [a]\n"
        "    return pickle.loads(pickle.dumps(a))"
    ),
    "list_within_itself": "def f(x):\n    a = []\n    a.append(a)\n    return a",
    "segmentation_fault": "import ctypes\ndef f(x):\n    ctypes.string_at(0)",
    "kills_itself": "import os, signal\ndef f(x):\n    os.kill(os.getpid(), signal.SIGKILL)\n    os.abort()",
    "reads_the_input": "def f(x):\n    return int(input())",
    "memory": "def f(x):\n    return len(bytearray(1 << 33)) or 1",
    "memory_bit_by_bit": "def f(x):\n    a = []\n    while True: a.append(bytearray(1 << 24))",
    "huge_answer": "def f(x):\n    return 'a' * (1 << 26)",
    "many_files": "def f(x):\n    return [open(f'/tmp/{i}', 'w') for i in range(10**5)]",
    "fills_the_disk": (
        "def f(x):\n    for i in range(10**4):\n        with open(f'/tmp/{i}', 'wb') as file:\n"
        "            file.write(b'0' * (1 << 20))"
    ),
    "answer_as_a_lie_of_type": "def f(x):\n    return {'passed': True}",
    "syntax_error": "def f(x:\n    return",
    "null_byte": "def f(x):\n    return 1\0",
}  # fmt: skip

NEVER_ENDING = {
    "patched_checker_modules": (
        "import sys\nfor name, module in list(sys.modules.items()):\n    if 'sftlab' in name:\n"
        "        for key, value in list(vars(module).items()):\n            if callable(value):\n"
        "                setattr(module, key, lambda *a, **k: {'passed': True, 'reason': ''})\n"
        "def f(x):\n    return 1"
    ),
    "endless_recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return f(x)",
    "busy_loop": "def f(x):\n    while True: pass",
    "sleeps": "import time\ndef f(x):\n    time.sleep(10**6)",
    "sleeps_when_loaded": "import time\ntime.sleep(10**6)",
    "huge_integer": "def f(x):\n    return 9 ** 9 ** 9",
    "endless_iterator": "import itertools\ndef f(x):\n    return (1 for i in itertools.count() if i < 0)",
    "endless_output": "def f(x):\n    while True: print('a' * 10**5)",
    "ignores_signals": (
        "import signal, time\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ndef f(x):\n    while True: time.sleep(1)"
    ),
    "fork_bomb": (
        "import os\ndef f(x):\n    while True:\n        try: os.fork()\n        except OSError: pass"
    ),
    "threads_without_end": (
        "import threading\ndef f(x):\n    while True:\n"
        "        try: threading.Thread(target=threading.Event().wait).start()\n        except RuntimeError: pass"
    ),
    "zombies": (
        "import os, time\nfor _ in range(4):\n    try:\n        if os.fork() == 0: os._exit(0)\n"
        "    except OSError: pass\ndef f(x):\n    time.sleep(10**6)"
    ),
    "drips_a_message": (
        "import os, time\ndef f(x):\n    for fd in range(3, 64):\n        try: os.write(fd, b'\\0\\0\\1\\0')\n"
        "        except OSError: pass\n    time.sleep(10**6)"
    ),
}  # fmt: skip

LEAVE_SOMETHING_BEHIND = {
    "daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        while True: time.sleep(1)\n    os._exit(0)\ndef f(x):\n    return x"
    ),
    "child_that_ignores_signals": (
        "import os, signal, time\nif os.fork() == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    signal.signal(signal.SIGHUP, signal.SIG_IGN)\n    while True: time.sleep(1)\ndef f(x):\n    return x"
    ),
    "thread": (
        "import threading, time\nthreading.Thread(target=lambda: time.sleep(10**6)).start()\ndef f(x):\n    return x"
    ),
    "detached_from_its_parent": (
        "import ctypes, os, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nif os.fork() == 0:\n"
        "    while True: time.sleep(1)\ndef f(x):\n    return x"
    ),
}  # fmt: skip


def _children(sandbox: Sandbox) -> int:
    assert sandbox._process is not None
    return len(psutil.Process(sandbox._process.pid).children(recursive=True))


@pytest.mark.parametrize("name", FORGERIES)
def test_program_that_does_not_solve_does_not_pass_and_the_next_one_runs(name, sandbox):
    expected = 10**11 + secrets.randbelow(10**11)
    verdict = sandbox.run(Program(FORGERIES[name], f"assert f(3) == {expected}", ("f",)))
    assert not verdict.passed
    assert verdict.reason
    assert sandbox.run(HONEST).passed
    assert _children(sandbox) == 1


@pytest.mark.parametrize("name", NEVER_ENDING)
def test_program_that_never_ends_is_stopped_and_the_next_one_runs(name, impatient, sandbox):
    verdict = impatient.run(Program(NEVER_ENDING[name], "assert f(3) == 1", ("f",)))
    assert not verdict.passed
    assert verdict.reason
    assert _children(impatient) == 1
    assert sandbox.run(HONEST).passed


@pytest.mark.parametrize("name", LEAVE_SOMETHING_BEHIND)
def test_nothing_outlives_a_program(name, sandbox):
    assert sandbox.run(Program(LEAVE_SOMETHING_BEHIND[name], "assert f(3) == 3", ("f",))).passed
    assert _children(sandbox) == 1


def test_signal_to_its_process_group_reaches_the_program_alone(sandbox):
    assert sandbox.run(HONEST).passed
    process = sandbox._process
    assert process is not None
    code = "import os\ndef f(x):\n    os.kill(0, 9)\n    os.kill(-1, 9)\n    return x"
    assert not sandbox.run(Program(code, "assert f(3) == 4", ("f",))).passed
    assert sandbox.run(HONEST).passed
    assert sandbox._process is process


@pytest.mark.parametrize("test", ["assert all(map(f, [1, 2]))", "assert f(1)", "assert f(1) != 5", "assert not f(2)"])
def test_loose_test_is_not_passed_by_an_object_or_by_ending_its_loop(test, sandbox):
    for name in ("equal_to_everything", "exception_that_ends_loops", "os_exit_when_called", "pickle_that_acts"):
        assert not sandbox.run(Program(FORGERIES[name], test, ("f",))).passed


def test_programs_that_need_it_get_no_more_processes_than_the_limit(sandbox):
    counted = (
        "import os, time\ndef f():\n    made = 0\n    for _ in range(100):\n        try: child = os.fork()\n"
        "        except OSError: return made\n        if child == 0:\n            time.sleep(100)\n        made += 1\n"
        "    return made"
    )
    assert sandbox.run(Program(counted, f"assert 0 < f() <= {sandbox.limits.num_processes}", ("f",))).passed


def test_what_a_program_writes_is_gone_for_the_next_one(sandbox):
    writes = "def f():\n    open('/tmp/left', 'w').write('here')\n    return open('/tmp/left').read()"
    looks = "import os\ndef f():\n    return os.listdir('/tmp')"
    assert sandbox.run(Program(writes, "assert f() == 'here'", ("f",))).passed
    assert sandbox.run(Program(looks, "assert f() == []", ("f",))).passed


PROBES = {
    "environment": ("import os\ndef f():\n    return dict(os.environ)", "{}"),
    "environment_in_c": (
        (
            "import ctypes\ndef f():\n    g = ctypes.CDLL(None).getenv\n    g.restype = ctypes.c_char_p\n"
            "    return g(b'SFTLAB_PROBE')"
        ),
        "None",
    ),
    "environment_of_others": (
        (
            "import glob\ndef f():\n    return glob.glob('/proc/*/environ') + glob.glob('/proc/*')"
        ),
        "[]",
    ),
    "files_of_the_host": (
        (
            "import os\ndef f():\n"
            "    return [p for p in ('/home', '/etc/passwd', '/etc/shadow', '/var', '/bin', '/usr/bin', "
            "'/mnt', '/srv', '/sys', '/run') if os.path.exists(p)]"
        ),
        "[]",
    ),
    "users": (
        (
            "import os\ndef f():\n    return [os.getuid() == 0, os.geteuid() == 0, os.getpid()]"
        ),
        "[False, False, 1]",
    ),
    "host_name": ("import os\ndef f():\n    return os.uname().nodename", "'sandbox'"),
    "devices": (
        (
            "import os\ndef f():\n    return sorted(os.listdir('/dev'))"
        ),
        "['full', 'null', 'random', 'urandom', 'zero']",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBES)
def test_program_sees_nothing_of_the_host(name, sandbox, monkeypatch):
    monkeypatch.setenv("SFTLAB_PROBE", "secret")
    code, expected = PROBES[name]
    verdict = sandbox.run(Program(code, f"assert f() == {expected}, f()", ("f",)))
    assert verdict.passed, verdict.reason


REFUSED = {
    "socket": "import socket\nsocket.socket()",
    "address_on_the_network": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:80', timeout=1)",
    "local_socket": "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0name')",
    "other_program": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'], check=True)",
    "file_of_its_own_as_program": (
        "import os\nopen('/tmp/a', 'w').close()\nos.chmod('/tmp/a', 0o777)\nos.execv('/tmp/a', ['a'])"
    ),
    "writing_at_the_root": "open('/x', 'w')",
    "writing_into_the_library": "import os\nopen(os.path.join(os.path.dirname(os.__file__), 'x.py'), 'w')",
    "writing_into_packages": "import numpy, os\nopen(os.path.join(os.path.dirname(numpy.__file__), 'x.py'), 'w')",
    "deleting_the_library": "import os\nos.remove(os.__file__)",
    "deleting_everything": "import shutil\nshutil.rmtree('/usr')",
    "changing_modes": "import os\nos.chmod(os.__file__, 0o777)",
    "changing_owners": "import os\nos.chown('/tmp', 0, 0)",
    "becoming_root": "import os\nos.setuid(0)",
    "device_node": "import os, stat\nos.mknod('/tmp/d', 0o666 | stat.S_IFBLK, os.makedev(8, 0))",
    "link_to_the_outside": "import os\nos.symlink('/../../../../proc/1/root/etc/passwd', '/tmp/l')\nopen('/tmp/l')",
    "hard_link": "import os\nos.link(os.__file__, '/tmp/l')",
    "memory_of_the_parent": "open('/proc/1/mem', 'rb')",
    "killing_the_parent": "import os\nos.kill(os.getppid() or 2, 9)",
    "priority": "import os\nos.nice(-5)",
    "raising_limits": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "long_file": "with open('/tmp/a', 'wb') as f:\n    f.seek(1 << 40)\n    f.write(b'0')",
    "shared_memory": "from multiprocessing import shared_memory\nshared_memory.SharedMemory(create=True, size=1 << 30)",
    "leaving_the_root": "import os\nos.chroot('/tmp')",
}  # fmt: skip
SYSTEM_CALLS = {
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)",
    "umount": "libc.umount2(b'/tmp', 2)",
    "unshare_user": "libc.unshare(0x10000000)",
    "clone_user": "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "ptrace": "libc.ptrace(16, 1, 0, 0)",
    "memfd": "libc.memfd_create(b'a', 0)",
    "shmget": "libc.shmget(0, 1 << 30, 0o1666)",
    "keyctl": "libc.syscall(250, 0, -3, 1)",
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "io_uring": "libc.syscall(425, 1, 0)",
    "sethostname": "libc.sethostname(b'a', 1)",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_act_outside_the_scratch_folder_is_refused_with_an_error_of_the_system(name, sandbox):
    code = (
        f"def f():\n    try:\n        exec({REFUSED[name]!r}, {{}})\n"
        "    except (OSError, ValueError) as e:\n        return 'no'"
    )
    verdict = sandbox.run(Program(code, "assert f() == 'no'", ("f",)))
    assert verdict.passed, verdict.reason
    assert sandbox.run(HONEST).passed


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls of x86_64")
@pytest.mark.parametrize("name", SYSTEM_CALLS)
def test_system_call_is_denied(name, sandbox):
    code = (
        "import ctypes\ndef f():\n    libc = ctypes.CDLL(None, use_errno=True)\n"
        f"    return [{SYSTEM_CALLS[name]}, ctypes.get_errno()]"
    )
    verdict = sandbox.run(Program(code, "assert f() == [-1, 1], f()", ("f",)))
    assert verdict.passed, verdict.reason


def test_files_of_the_host_are_out_of_reach_by_their_own_path(sandbox, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("kept")
    code = "import os\ndef f(p):\n    return [os.path.exists(p), os.path.exists(os.path.expanduser('~/.ssh'))]"
    assert sandbox.run(Program(code, f"assert f({str(secret)!r}) == [False, False]", ("f",))).passed
    deletes = f"import os, shutil\nshutil.rmtree({str(tmp_path)!r}, ignore_errors=True)\ndef f():\n    return 1"
    assert sandbox.run(Program(deletes, "assert f() == 1", ("f",))).passed
    assert secret.read_text() == "kept"


def test_bytecode_and_library_of_the_host_are_as_before(sandbox):
    library = Path(os.__file__)
    before = library.stat().st_mtime_ns, library.read_bytes()
    spoils = (
        "import os\ntry:\n    open(os.__file__, 'a').write('x = 1')\nexcept OSError:\n    pass\ndef f():\n    return 1"
    )
    assert sandbox.run(Program(spoils, "assert f() == 1", ("f",))).passed
    assert (library.stat().st_mtime_ns, library.read_bytes()) == before
