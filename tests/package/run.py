#!/usr/bin/env python3
"""Builds and runs a small project that uses the library as somebody else's would.

usage: run.py {find_package|add_subdirectory|fetch_content|single_file|pkg_config} BUILD_FOLDER
"""
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FLAGS = {
    "find_package": lambda prefix: [f"-DCMAKE_PREFIX_PATH={prefix}"],
    "add_subdirectory": lambda prefix: [f"-DSMALTI_SOURCE={SOURCE}"],
    "fetch_content": lambda prefix: [f"-DFETCHCONTENT_SOURCE_DIR_SMALTI={SOURCE}"],
}


def run(*command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def installed(folder):
    """The library, installed as a packager would."""
    build, prefix = folder / "library", folder / "prefix"
    shutil.rmtree(prefix, ignore_errors=True)
    off = [f"-DSMALTI_{part}=OFF" for part in ("TESTS", "EXAMPLES", "BENCH")]
    run("cmake", "-S", SOURCE, "-B", build, *off, f"-DCMAKE_INSTALL_PREFIX={prefix}")
    run("cmake", "--build", build)
    run("cmake", "--install", build)
    return prefix


def main():
    way, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve() / "package" / sys.argv[1]
    build = folder / "consumer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prefix = installed(folder) if way in ("find_package", "pkg_config") else None
    here = SOURCE / "tests" / "package" / way
    if way in FLAGS:
        os.environ["CXXFLAGS"] = "-O1"
        run("cmake", "-S", here, "-B", build, *FLAGS[way](prefix))
        run("cmake", "--build", build)
    else:
        run("sh", here / "build.sh", SOURCE, build, prefix or "")
    programs = [p for p in (build / "kernels", build / "models") if p.exists()]
    for program in programs:
        said = run(program)
        print(f"{way}: {program.name}: {said.strip()}")
        if "consumer: ok" not in said:
            return 1
    return not programs


sys.exit(main())
