#!/usr/bin/env python3
"""Every header compiles alone, in a translation unit of its own.

usage: alone.py {g++|clang++|nvcc} BUILD_FOLDER [--fresh]

.hpp files go through g++ and clang++, and, in the layers that device code may include, through nvcc; .cuh files go
through nvcc for sm_80 and for compute_90a. clang++ sees the headers alone, bodies and all, as a .cuh does through nvcc; g++, which
builds src/ anyway, and nvcc see the .hpp in the compiled mode; so does nvcc the .cuh of the decoder, whose bodies are most of the kernels
that there are. A header whose text and whose includes are what they were when it last passed
is not compiled again. Two compilers run at a time.
"""
import concurrent.futures
import hashlib
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include"
DEVICE_LAYERS = {"core", "simd", "math", "quant", "attention", "gemm"}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
COMMANDS = {
    "g++": ["g++", "-std=c++20", "-fsyntax-only", "-O1", "-DSMALTI_COMPILED", *WARNINGS],
    "clang++": ["clang++", "-std=c++20", "-fsyntax-only", *WARNINGS],
    "nvcc": ["nvcc", "-x", "cu", "-std=c++20", "-Wno-deprecated-gpu-targets", "-c", "-o", "/dev/null"],
}
GENCODES = {".hpp": ["-DSMALTI_COMPILED", "-gencode=arch=compute_80,code=sm_80"],
            ".cuh": ["-gencode=arch=compute_80,code=sm_80", "-gencode=arch=compute_90a,code=sm_90a"]}


def includes_of(path, seen):
    """The file and everything of this project that it includes."""
    if path in seen or not path.is_file():
        return seen
    seen.add(path)
    for name in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        includes_of((path.parent / name).resolve(), seen)
    return seen


def headers(compiler):
    for path in sorted(INCLUDE.rglob("*")):
        layer = path.relative_to(INCLUDE / "smalti").parts[0] if path.is_file() else ""
        if path.suffix == ".hpp" and (compiler != "nvcc" or layer in DEVICE_LAYERS):
            yield path
        if path.suffix == ".cuh" and compiler == "nvcc":
            yield path


def main():
    compiler, build = sys.argv[1], pathlib.Path(sys.argv[2])
    program = shutil.which(compiler)
    if not program:
        print(f"skipped: no {compiler} here")
        return 0
    work = build / "headers" / compiler.replace("+", "p")
    work.mkdir(parents=True, exist_ok=True)
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout

    def check(path):
        name = path.relative_to(INCLUDE).as_posix()
        command = COMMANDS[compiler] + (GENCODES[path.suffix] if compiler == "nvcc" else []) + [f"-I{INCLUDE}"]
        if path.suffix == ".cuh" and name.startswith("smalti/decoder"):
            command.append("-DSMALTI_COMPILED")
        digest = hashlib.sha256((version + " ".join(command)).encode())
        for part in sorted(includes_of(path, set())):
            digest.update(part.as_posix().encode() + part.read_bytes())
        stem = work / re.sub(r"\W", "_", name)
        mark, unit = stem.with_suffix(".passed"), stem.with_suffix(".cu" if compiler == "nvcc" else ".cpp")
        if "--fresh" not in sys.argv and mark.exists() and mark.read_text() == digest.hexdigest():
            return name, True, None
        unit.write_text(f"#include <{name}>\n#include <{name}>  // twice: the guard holds\n")
        done = subprocess.run(command + [str(unit)], capture_output=True, text=True)
        if done.returncode:
            return name, False, done.stdout + done.stderr
        mark.write_text(digest.hexdigest())
        return name, False, None

    failed = known = count = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, from_cache, message in pool.map(check, headers(compiler)):
            count, known = count + 1, known + from_cache
            if message is not None:
                failed += 1
                print(f"FAILED {compiler} {name}\n{message[:3000]}")
    print(f"{compiler}: {count} headers, {failed} failed, {known} unchanged since they last passed")
    return bool(failed) or count == 0


sys.exit(main())
