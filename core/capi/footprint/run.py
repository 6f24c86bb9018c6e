#!/usr/bin/env python3
"""Measures the library on a Cortex-M4: flash, static memory, stack, instructions, and the composition of the code.

    core/capi/footprint/run.py              builds, measures, compares with footprint.toml
    core/capi/footprint/run.py --write      writes the measured numbers into footprint.toml
    core/capi/footprint/run.py --crates     also prints the size of the code by crate

Needs cargo with the target thumbv7em-none-eabihf, arm-none-eabi-gcc and qemu-system-arm.
"""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
CAPI = HERE.parent
ROOT = CAPI.parent.parent
BOARD = CAPI / "examples" / "mps2-an386"
TARGET = "thumbv7em-none-eabihf"
RUSTFLAGS = '--cfg aes_backend_soft="compact" --cfg sha2_backend_soft="compact"'
CFLAGS = (
    "-mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard -std=c11 -Os -Wall -Wextra -Werror "
    "-Wno-unused-variable -Wno-unused-function -Wno-unused-const-variable "
    "-ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -ffunction-sections -fdata-sections -nostdlib -nostartfiles"
).split()
# Functions that a firmware has anyway: in both images, used or not.
MEMORY = ["memcpy", "memmove", "memset", "memcmp"] + [
    f"__aeabi_mem{name}" for name in ("cpy", "cpy4", "cpy8", "move", "move4", "move8", "set", "set4", "set8", "clr", "clr4", "clr8")]
LDFLAGS = [f"-L{BOARD}", "-Tboard.ld", "-Wl,--gc-sections", "-Wl,--build-id=none", *(f"-Wl,-u,{name}" for name in MEMORY)]
# The system timer of the board runs at 25 MHz; under `-icount shift=0` an instruction takes a nanosecond.
INSTRUCTIONS_PER_TICK = 40
GROWTH = 1.02
# Maximum number of words that the wiping call itself may leave.
MOST_LEFT = 4

# Program, features, maximum flash in bytes, maximum stack in bytes.
PROGRAMS = {
    "mac_seal": ("mac", 18 * 1024, 3072),
    "mac": ("mac", None, None),
    "sign_se": ("sign", 38 * 1024, 3584),
    "sign_se_element": ("sign", None, None),
    "sign_sp": ("sign", 42 * 1024, 5734),
    "verify_se": ("verify", 42 * 1024, 5734),
    "verify_sp": ("verify", None, None),
}
# Maximum size of the envelope code, in bytes, for the programs that seal one or two suites.
ENVELOPE_LIMIT = 8 * 1024
OURS = {
    "taskseal: arithmetic": r"/provider/(general|small|software)",
    "taskseal: interface to C": r"/capi/src/",
    "taskseal: batches": r"/core/src/batch",
    "taskseal: envelope": r"/core/src/(cbor|envelope|header|inner|claims|structure|name|seal|suite|task_id)",
}
# Crates with panics that no input is known to reach.
MAY_PANIC = ("aes", "hybrid-array", "p256", "crypto-bigint", "hmac", "digest", "block-buffer", "sha2", "ecdsa",
             "polyval", "elliptic-curve", "rfc6979", "subtle")
PANIC = re.compile(r"core::panicking|core::slice::index::slice_|unwrap_failed|expect_failed|len_mismatch|CtOption<T>::unwrap")

def run(*command, **options):
    command = [str(part) for part in command]
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} gave {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def build(features, target_folder):
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target_folder))
    environment["CARGO_TARGET_THUMBV7EM_NONE_EABIHF_RUSTFLAGS"] = RUSTFLAGS
    run("cargo", "build", "-p", "taskseal-c", "--profile", "embedded", "--target", TARGET, "--no-default-features",
        "--features", features, "--locked", cwd=ROOT, env=environment)
    return target_folder / TARGET / "embedded" / "libtaskseal.a"


def link(program, library, folder):
    """Returns the image, and one with empty functions instead of the library."""
    includes = [f"-I{BOARD}", f"-I{CAPI / 'include'}"]
    objects = []
    for source in (HERE / f"{program}.c", BOARD / "board.c"):
        objects.append(folder / f"{source.stem}.o")
        run("arm-none-eabi-gcc", *CFLAGS, *includes, "-c", source, "-o", objects[-1])
    image = folder / f"{program}.elf"
    run("arm-none-eabi-gcc", *CFLAGS, *LDFLAGS, *objects, library, f"-Wl,-Map={image}.map", "-o", image)

    wanted = re.findall(r"U (\w+)", run("arm-none-eabi-nm", "-u", *objects).stdout)
    stubs = folder / f"{program}.stubs.s"
    names = sorted({name for name in wanted if name.startswith("taskseal_") and name != "taskseal_panic"})
    stubs.write_text(".syntax unified\n.thumb\n" + "".join(
        f".section .text.{name}\n.global {name}\n.thumb_func\n{name}: movs r0, #0\nbx lr\n" for name in names))
    empty = folder / f"{program}.empty.elf"
    run("arm-none-eabi-gcc", *CFLAGS, *LDFLAGS, *objects, stubs, "-o", empty)
    return image, empty


def sizes(image):
    """Returns the sizes of flash and static memory, in bytes."""
    text, data, bss = run("arm-none-eabi-size", image).stdout.splitlines()[1].split()[:3]
    return int(text) + int(data), int(data) + int(bss)


def measure(image):
    """Returns the report of the program: operation -> (instructions, stack, words left of the deepest 64, result)."""
    # The output of the board appears on the debugger's side.
    done = run("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none", "-icount",
               "shift=0", "-semihosting-config", "enable=on,target=native", "-kernel", image, timeout=120)
    operations = {}
    for line in (done.stdout + done.stderr).splitlines():
        name, ticks, stack, left, result = line.split()
        if int(result) < 0:
            sys.exit(f"{image.name}: {name} failed with {result}")
        operations[name] = (int(ticks) * INSTRUCTIONS_PER_TICK, int(stack), int(left), int(result))
    return operations


def by_crate(image):
    """Returns bytes of code by crate; those of taskseal by purpose."""
    listing = run("arm-none-eabi-objdump", "-d", image).stdout
    code = [(int(at, 16), len(raw.replace(" ", "")) // 2)
            for at, raw in re.findall(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{4} ?)+)\s", listing, re.MULTILINE)]
    places = run("arm-none-eabi-addr2line", "-a", "-i", "-e", image, input="".join(f"{at:x}\n" for at, _ in code)).stdout
    bytes_of = {}
    for (_, size), lines in zip(code, re.split(r"^0x[0-9a-f]{8}\n", places, flags=re.MULTILINE)[1:]):
        files = [line.rsplit(":", 1)[0] for line in lines.splitlines()]
        file = next((file for file in files if not re.search(r"/rustc/|/library/|/board\.c|compiler_builtins|\?\?", file)), None)
        if file is None:
            name = "core library and compiler's own"
        elif crate := re.search(r"/([a-z0-9_-]+)-\d+\.\d+[^/]*/src/", file):
            name = crate.group(1)
        elif file.startswith(str(HERE)) or file.startswith(str(BOARD)):
            continue
        else:
            name = next((part for part, files in OURS.items() if re.search(files, file)), "taskseal: keys, policy, replay")
        bytes_of[name] = bytes_of.get(name, 0) + size
    return bytes_of


def panics(image):
    """Returns (function, source files of the line that can panic, innermost first), from disassembly and line table."""
    listing = run("arm-none-eabi-objdump", "-d", "--no-show-raw-insn", "--demangle=rust", image).stdout
    calls, current = [], None
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            current = head.group(1)
        elif call := re.match(r"\s*([0-9a-f]+):\s+b\S*\s+[0-9a-f]+ <(.+?)(\+0x[0-9a-f]+)?>", line):
            if call.group(2) != current:
                calls.append((current, call.group(1), call.group(2)))
    # Helpers of the core library, and tails that several functions share, forward to the functions that they call.
    passes_on = {name for name, _, _ in calls if re.match(r"<?core::|OUTLINED|subtle::CtOption<T>::unwrap", name)}
    ends, grown = {called for _, _, called in calls if PANIC.search(called)}, True
    while grown:
        more = {name for name, _, called in calls if called in ends and name in passes_on} - ends
        ends, grown = ends | more, bool(more)
    found = []
    for name, address, called in calls:
        if called in ends and name not in ends:
            lines = run("arm-none-eabi-addr2line", "-i", "-e", image, f"0x{int(address, 16):x}").stdout.splitlines()
            found.append((name, [line.rsplit(":", 1)[0] for line in lines]))
    return found


def own_panics(image):
    """Returns the places in the sources of taskseal that can panic, by the innermost line outside the core library."""
    found = set()
    for name, files in panics(image):
        blamed = next((file for file in files if "/rustc/" not in file and "/library/" not in file), "?")
        if not any(f"/{crate}-" in blamed for crate in MAY_PANIC):
            found.add(f"{name} ({blamed.removeprefix(str(ROOT))})")
    return sorted(found)


def unwiped(program, name, left):
    # In signed suites verification uses the most stack, and has no secret.
    has_secrets_deepest = name.startswith("seal") or name in ("open-m", "open-e")
    return [f"{program}: {name} leaves {left} of the deepest 64 words of its stack unwiped"] * (has_secrets_deepest and left > MOST_LEFT)

def main():
    write, show = "--write" in sys.argv, "--crates" in sys.argv
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
    folder = target / "footprint"
    folder.mkdir(parents=True, exist_ok=True)
    recorded = tomllib.loads((CAPI / "footprint.toml").read_text()) if (CAPI / "footprint.toml").exists() else {}
    wrong, measured, libraries = [], {}, {}

    for program, (features, flash_limit, stack_limit) in PROGRAMS.items():
        if features not in libraries:
            built = build(features, folder)
            libraries[features] = folder / f"libtaskseal-{features}.a"
            libraries[features].write_bytes(built.read_bytes())
        image, empty = link(program, libraries[features], folder)
        (flash, memory), (flash_empty, memory_empty) = sizes(image), sizes(empty)
        flash, memory = flash - flash_empty, memory - memory_empty
        operations = measure(image)
        stack = max(stack for _, stack, _, _ in operations.values())
        measured[program] = {"flash": flash, "static": memory, "stack": stack}
        measured[program].update({name: instructions for name, (instructions, _, _, _) in operations.items()})
        parts = by_crate(image)
        envelope = parts.get("taskseal: envelope", 0)
        measured[program]["envelope"] = envelope
        print(f"{program:<16} flash {flash:>6}{f' of {flash_limit}' if flash_limit else '':<9}  "
              f"stack {stack:>5}{f' of {stack_limit}' if stack_limit else '':<8}  envelope {measured[program]['envelope']:>5}  static {memory}")
        for name, (instructions, stack_of, left, _) in operations.items():
            wrong += unwiped(program, name, left)
            print(f"    {name:<18} {instructions:>9} instructions {stack_of:>5} stack")
        if show:
            for name, size in sorted(parts.items(), key=lambda part: -part[1]):
                print(f"    {size:>6} {name}")
        if "seal" in "".join(operations) and envelope > ENVELOPE_LIMIT:
            wrong.append(f"{program}: {envelope} bytes of envelope, more than {ENVELOPE_LIMIT}")
        before = recorded.get(program, {}).get("flash")
        if before is not None and flash > before * GROWTH:
            wrong.append(f"{program}: {flash} bytes of flash, {before} before")
        if flash_limit and flash > flash_limit:
            wrong.append(f"{program}: {flash} bytes of flash, more than {flash_limit}")
        if stack_limit and stack > stack_limit:
            wrong.append(f"{program}: {stack} bytes of stack, more than {stack_limit}")
        if memory != 0:
            wrong.append(f"{program}: {memory} bytes of static memory")
        wrong += [f"{program}: {place} can panic" for place in own_panics(image)]
        for name, (instructions, _, _, _) in operations.items():
            before = recorded.get(program, {}).get(name)
            if before is None and not write:
                wrong.append(f"{program}: {name} is not in footprint.toml; run with --write")
            elif before is not None and instructions > before * GROWTH:
                wrong.append(f"{program}: {name} takes {instructions} instructions, {before} before")
        if "alloc" in run("arm-none-eabi-nm", image).stdout:
            wrong.append(f"{program}: an allocator is linked")
    # The depth of the work depends on the linked code: repeat with the complete library.
    everything = folder / "libtaskseal-full.a"
    everything.write_bytes(build("full", folder).read_bytes())
    for program in PROGRAMS:
        image, _ = link(program, everything, folder)
        for name, (_, _, left, _) in measure(image).items():
            wrong += unwiped(f"{program}, with all features", name, left)
    if write:
        lines = ["# What core/capi/footprint/run.py measured: bytes of flash, static memory, stack, and instructions of operations."]
        for program, numbers in measured.items():
            lines += ["", f"[{program}]", *(f"{name} = {number}" for name, number in numbers.items())]
        (CAPI / "footprint.toml").write_text("\n".join(lines) + "\n")
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
