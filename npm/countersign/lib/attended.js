// Runs a program until its standard input ends: when the process at the other end dies, whatever kills it, the program
// is asked to end as well.
//
//   node attended.js PROGRAM ARGUMENT...

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const [program, ...args] = process.argv.slice(2);
const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });

// The terminal's Ctrl-C is for the process at the other end, which decides when the program ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill());
process.stdin.on('end', () => child.kill());
process.stdin.on('error', () => child.kill());
process.stdin.resume();

child.on('error', (error) => {
  console.error(`cannot start ${program}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal]);
});
