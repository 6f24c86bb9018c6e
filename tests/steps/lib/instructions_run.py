"""Reports which instructions a program runs: gdb executes this file.

Emulators and valgrind lack the newest instructions, so the program runs on the real processor with breakpoints.
Every occurrence of an instruction gets one; after the first hit the others are removed.

Environment variables:
  PROGRAM, PRELOAD, INSTRUCTIONS  regular expressions for lines of the disassembly, one on each line
Prints `runs EXPRESSION` or `does not run EXPRESSION` for each, and `exit code N` at the end.
"""

import os
import re
import subprocess

import gdb

program = os.environ["PROGRAM"]
expressions = os.environ["INSTRUCTIONS"].splitlines()


def disassembly():
    command = ["objdump", "-d", "--no-show-raw-insn", program]
    line = re.compile(r"^ *([0-9a-f]+):\t(.*)$")
    for text in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if found := line.match(text):
            yield int(found[1], 16), found[2]


def entry_in_file():
    header = subprocess.run(["objdump", "-f", program], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"start address (0x[0-9a-f]+)", header)[1], 16)


places = {expression: [] for expression in expressions}
for address, instruction in disassembly():
    for expression in expressions:
        if re.match(expression, instruction):
            places[expression].append(address)

gdb.execute("set confirm off")
gdb.execute("set startup-with-shell off")
gdb.execute(f"set environment LD_PRELOAD {os.environ['PRELOAD']}")
gdb.execute("starti", to_string=True)
# The entry point shows at which address the program is loaded.
auxiliary = gdb.execute("info auxv", to_string=True)
moved = int(re.search(r"AT_ENTRY .* (0x[0-9a-f]+)", auxiliary)[1], 16) - entry_in_file()

waiting = {
    expression: [gdb.Breakpoint(f"*{moved + address}", internal=True) for address in addresses]
    for expression, addresses in places.items()
}
hit = set()
exit_codes = []
gdb.events.exited.connect(lambda event: exit_codes.append(getattr(event, "exit_code", None)))
while not exit_codes:
    gdb.execute("continue", to_string=True)
    if exit_codes:
        break
    stopped_at = gdb.selected_frame().pc() - moved
    for expression, addresses in places.items():
        if stopped_at in addresses and expression not in hit:
            hit.add(expression)
            for breakpoint in waiting.pop(expression):
                breakpoint.delete()
for expression in expressions:
    print("runs" if expression in hit else "does not run", expression)
print("exit code", exit_codes[0])
