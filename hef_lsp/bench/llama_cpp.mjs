// llama.cpp as a rival: reads lines of {"ids": [...], "n": 8} and answers {"prefill_ms": ..., "decode_ms": ...}.
//
// node llama_cpp.mjs MODEL.gguf THREADS [ADAPTER.gguf], in a folder where node-llama-cpp is installed. Nothing is kept between
// lines: the prompt is read from its start, then `n` tokens are decoded greedily.
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [, , gguf, threads, adapter] = process.argv;
const find = createRequire(path.join(process.cwd(), "package.json"));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(find.resolve("node-llama-cpp")).href);
const llama = await getLlama({
  gpu: false, maxThreads: Number(threads), logLevel: LlamaLogLevel.error, build: "never",
});
const model = await llama.loadModel({ modelPath: gguf });
const context = await model.createContext({
  contextSize: 4096, batchSize: 512, threads: { ideal: Number(threads), min: Number(threads) },
  ...(adapter ? { lora: { adapters: [{ filePath: adapter }] } } : {}),
});
const sequence = context.getSequence();
const now = () => Number(process.hrtime.bigint()) / 1e6;
const next = async (ids) => {
  const last = ids.length - 1;
  const inputs = [...ids.slice(0, last), [ids[last], { generateNext: { token: true } }]];
  return (await sequence.controlledEvaluate(inputs))[last].next.token;
};

process.stdout.write("ready\n");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { ids, n } = JSON.parse(line);
  await sequence.clearHistory();
  const began = now();
  let token = await next(ids);
  const read = now();
  for (let i = 1; i < n; i++) token = await next([token]);
  process.stdout.write(JSON.stringify({ prefill_ms: read - began, decode_ms: now() - read }) + "\n");
}
process.exit(0);
