#!/usr/bin/env node
// Runs the program with the same arguments, terminal, signals and exit code.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { programPath } from '../lib/program.js';

let program;
try {
  program = programPath();
} catch (error) {
  console.error(`countersign: ${error.message}`);
  process.exit(1);
}

const child = spawn(program, process.argv.slice(2), { stdio: 'inherit' });

// A terminal sends Ctrl-C to both processes, and a second one would end the program at once: SIGINT is not passed on,
// and the program decides when to end. The others reach this process alone.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) {
  process.on(signal, () => child.kill(signal));
}

child.on('error', (error) => {
  console.error(`countersign: cannot start ${program}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal]);
});
