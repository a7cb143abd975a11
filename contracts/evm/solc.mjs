#!/usr/bin/env node
// The pinned Solidity compiler (JavaScript build, from node_modules) with the two options that forge and this project use:
//   solc.mjs --version                  the version, as the native compiler prints it
//   solc.mjs --standard-json < input    standard JSON in, standard JSON out
// Every source must be inside the input: it reads no file and opens no connection.
import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';

const solc = createRequire(import.meta.url)('solc');

function write(text) {
  const bytes = Buffer.from(text);
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(1, bytes, offset);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error; // a full pipe: try again
    }
  }
}

const options = process.argv.slice(2);
if (options.includes('--version')) {
  write(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}\n`);
} else if (options.includes('--standard-json')) {
  write(solc.compile(readFileSync(0, 'utf8')));
} else {
  process.stderr.write('solc.mjs understands --version and --standard-json only.\n');
  process.exitCode = 2;
}
