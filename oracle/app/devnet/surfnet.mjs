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

const HOST = '127.0.0.1';
// Undrained, the chain stops for good after 1,024 events.
const DRAIN_INTERVAL_MS = 50;

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
} catch (error) {
  fail({ error: String(error.message), port });
}
