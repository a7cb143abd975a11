// Runs Surfpool's surfnet from its platform package's native addon, for as long as this process lives.
//
//   node surfnet.mjs ADDON CONFIG READY
//
// Reads the JSON file CONFIG and deletes it, since it may hold a secret key:
//   slotTimeMs, rpcPort, wsPort (0: any free port), payerSecretKey (64 numbers), airdropLamports, airdropAddresses
// and writes the JSON file READY, in one step, when the chain is up or has failed:
//   {"rpcUrl", "wsUrl", "payer"}   or   {"error", "port"?}
// The addon chooses its own ports; a fixed port is a TCP proxy in front of it, for HTTP and websocket alike. It listens on
// 127.0.0.1 only. The secret key is never printed.
import { readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const HOST = '127.0.0.1';
// Undrained, the chain stops for good after 1,024 events.
const DRAIN_INTERVAL_MS = 50;

// Slots come about 1 % too fast, and the chain's clock counts slots: how often that is looked at, what is let pass, and what
// must be a jump that somebody asked for (surfnet_timeTravel).
const CLOCK_INTERVAL_MS = 5_000;
const TOLERANCE_MS = 250;
const TRAVEL_MS = 5_000;
// A chain under load answers late. Only one that has answered nothing for so long is taken for dead.
const SILENCE_MS = 60_000;
const RETRY_MS = 250;

const [addonPath, configPath, readyPath] = process.argv.slice(2);

function report(message) {
  writeFileSync(`${readyPath}.part`, JSON.stringify(message), { mode: 0o600 });
  renameSync(`${readyPath}.part`, readyPath);
}

function fail(message) {
  report(message);
  process.exit(1);
}

/** Forwards `port` to the port of `url`; resolves to the URL with the port that clients use. */
function expose(url, port) {
  const inner = new URL(url);
  if (!port) return Promise.resolve(url);
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true }, (client) => {
      const upstream = connect({ host: HOST, port: Number(inner.port), noDelay: true });
      client.on('error', () => upstream.destroy());
      client.on('close', () => upstream.destroy());
      upstream.on('error', () => client.destroy());
      upstream.on('close', () => client.destroy());
      client.pipe(upstream);
      upstream.pipe(client);
    });
    server.on('error', reject);
    server.listen({ host: HOST, port }, () => resolve(`${inner.protocol}//${HOST}:${port}`));
  });
}

async function rpc(url, method, params = []) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    signal: AbortSignal.timeout(5_000),
  });
  const answer = await response.json();
  if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
  return answer.result;
}

/** The answer of a call that is safe to repeat, asked again while the chain is too busy to answer. */
async function patient(url, method, params) {
  const started = performance.now();
  for (;;) {
    try {
      return await rpc(url, method, params);
    } catch (error) {
      if (performance.now() - started > SILENCE_MS) throw error;
      await sleep(RETRY_MS);
    }
  }
}

/** Keeps the chain's clock with this machine's, by pausing it for as long as its slots have run ahead. */
async function keepTime(url, slotTimeMs) {
  const now = async () => ({ slot: await patient(url, 'getSlot', [{ commitment: 'processed' }]), at: performance.now() });
  let start = await now();
  for (;;) {
    await sleep(CLOCK_INTERVAL_MS);
    const current = await now();
    const aheadMs = (current.slot - start.slot) * slotTimeMs - (current.at - start.at);
    if (aheadMs > TRAVEL_MS) {
      start = current; // somebody moved the clock on purpose
    } else if (aheadMs >= TOLERANCE_MS) {
      await patient(url, 'surfnet_pauseClock');
      await sleep(aheadMs);
      await patient(url, 'surfnet_resumeClock');
    }
  }
}

const config = JSON.parse(readFileSync(configPath, 'utf8'));
unlinkSync(configPath);
let surfnet;
try {
  const { Surfnet } = createRequire(import.meta.url)(addonPath);
  surfnet = Surfnet.startWithConfig({
    offline: true,
    blockProductionMode: 'clock',
    slotTimeMs: config.slotTimeMs,
    airdropSol: config.airdropLamports, // lamports, whatever the name says
    airdropAddresses: config.airdropAddresses,
    payerSecretKey: config.payerSecretKey,
  });
} catch (error) {
  fail({ error: String(error.message) });
}
setInterval(() => surfnet.drainEvents(), DRAIN_INTERVAL_MS);

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    try {
      surfnet.stop();
    } finally {
      process.exit(0);
    }
  });
}

let port;
try {
  port = config.rpcPort;
  const rpcUrl = await expose(surfnet.rpcUrl, port);
  port = config.wsPort;
  const wsUrl = await expose(surfnet.wsUrl, port);
  report({ rpcUrl, wsUrl, payer: surfnet.payer });
  keepTime(surfnet.rpcUrl, config.slotTimeMs).catch((error) => {
    // A clock that stands still would stop the chain without a word.
    process.stderr.write(`surfnet's clock cannot be kept: ${error.message}\n`);
    process.exit(1);
  });
} catch (error) {
  fail({ error: String(error.message), port });
}
