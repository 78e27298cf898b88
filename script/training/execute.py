"""Runs generated code: SQL in an empty in-memory SQLite, Python in child processes with limits on time, memory, files and processes."""
import json, resource, sqlite3, subprocess, sys, tempfile

batch = 150        # samples a child runs; starting one costs more than running ten of them
seconds = 2        # processor time of one sample
steps_limit = 3_000_000   # virtual machine steps of one SQL sample


def statements(script):
    """The complete statements of a script; triggers and quoted semicolons stay whole."""
    part = ""
    for piece in script.split(";"):
        part += piece + ";"
        if sqlite3.complete_statement(part):
            yield part
            part = ""
    if part.rstrip("; \n\t"):
        yield part


def run_sql(script):
    """Rows of the last statement that returned columns. Raises sqlite3.Error."""
    connection, rows, spent = sqlite3.connect(":memory:", isolation_level=None), [], 0

    def over():
        nonlocal spent
        spent += 10_000
        return spent > steps_limit
    connection.set_progress_handler(over, 10_000)
    # Files of the machine are out of reach: no ATTACH, no PRAGMA that writes elsewhere.
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK)
    try:
        for statement in statements(script):
            cursor = connection.execute(statement)
            if cursor.description is not None:
                rows = [list(r) for r in cursor.fetchall()]
    finally:
        connection.close()
    return rows


def same_rows(a, b):
    """Equal in order; figures with a fraction may differ in the last bits."""
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        if len(x) != len(y):
            return False
        for u, v in zip(x, y):
            both = isinstance(u, (int, float)) and isinstance(v, (int, float)) and not isinstance(u, bool)
            if not (abs(u - v) <= 1e-9 * max(1, abs(u), abs(v)) if both else u == v):
                return False
    return True


# The child reads one JSON line per sample, {"code", "tests": [[expression, expected]…], "helper"}, and writes one line with an error or null.
# An alarm ends a loop without end; what is printed by the code goes nowhere.
child = r"""
import contextlib, io, json, signal, sys
class Late(BaseException): pass
def late(*_): raise Late("too slow")
signal.signal(signal.SIGVTALRM, late)
def plain(v):
    if isinstance(v, dict): return {str(k): plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)): return [plain(x) for x in v]
    if isinstance(v, (set, frozenset)): return sorted((plain(x) for x in v), key=repr)
    return v
def same(a, b):
    if isinstance(a, float) or isinstance(b, float):
        return not isinstance(a, (str, list, dict)) and a is not None and b is not None and abs(a - b) <= 1e-9 * max(1, abs(a), abs(b))
    if isinstance(a, list) and isinstance(b, list): return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict): return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return type(a) == type(b) and a == b
for line in sys.stdin:
    sample, error = json.loads(line), None
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        space = {"__name__": "sample"}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(sample["code"], space)
            exec(sample.get("helper", ""), space)
            for expression, expected in sample["tests"]:
                try: found = plain(eval(expression, space))
                except Exception as e: found = "raises " + type(e).__name__
                if not same(found, expected):
                    error = f"{expression}: expected {expected!r}, found {found!r}"[:300]
                    break
    except BaseException as e:
        error = f"{type(e).__name__}: {e}"[:300]
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    print(json.dumps(error), flush=True)
""".replace("SECONDS", str(seconds))


def limits(share):
    def apply():
        resource.setrlimit(resource.RLIMIT_CPU, (share, share))
        resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))   # no threads, no children (root is exempt)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return apply


def run_python(samples):
    """One error or None for each {"code", "tests"}. A child that dies loses only the sample it was running."""
    results, start = [], 0
    with tempfile.TemporaryDirectory() as folder:
        while start < len(samples):
            part = samples[start:start + batch]
            given = "".join(json.dumps(s) + "\n" for s in part)
            try:
                done = subprocess.run([sys.executable, "-I", "-S", "-c", child], input=given, capture_output=True, text=True, cwd=folder,
                                      env={"PYTHONHASHSEED": "0"}, timeout=60 + seconds * len(part), preexec_fn=limits(20 + seconds * len(part)))
                lines, last = done.stdout.splitlines(), done.stderr.strip().rsplit("\n", 1)[-1] or f"ended with {done.returncode}"
            except subprocess.TimeoutExpired as late:
                lines, last = (late.stdout or b"").decode().splitlines(), "no answer in time"
            results += [json.loads(l) for l in lines[:len(part)]]
            start += len(lines[:len(part)])
            if len(lines) < len(part):
                results.append(last)
                start += 1
    return results
