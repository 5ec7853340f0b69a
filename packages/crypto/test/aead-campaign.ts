// Differential fuzzing of every AEAD provider against node:crypto: `pnpm fuzz:aead [--cases 1000000] [--seed N]`.
import { parseArgs } from "node:util";
import { sodiumAead } from "../src/aead/native.ts";
import { opensslAead } from "../src/aead/openssl.ts";
import { aeadProvider, aeadProviderNames } from "../src/index.ts";
import { compareWithReference } from "./support/differential.ts";
import { referenceName, referenceSeal } from "./support/reference-aead.ts";

const { values } = parseArgs({ options: { cases: { type: "string" }, seed: { type: "string" } } });
const cases = Number(values.cases ?? 1_000_000);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const STEP = 10_000;

const sodium = sodiumAead();
const openssl = opensslAead();
const providers = aeadProviderNames().map((name) => aeadProvider(name));
if (openssl !== undefined) providers.push({ ...openssl, name: "openssl" });
if (sodium !== undefined) providers.push({ ...sodium, name: "sodium" });
for (const provider of providers) {
  const startedAt = performance.now();
  for (let done = 0; done < cases; done += STEP) {
    compareWithReference(provider, referenceSeal, Math.min(STEP, cases - done), seed + done);
  }
  const seconds = ((performance.now() - startedAt) / 1e3).toFixed(1);
  console.log(`${provider.name}: ${cases} cases agree with ${referenceName} (seed ${seed}, ${seconds} s)`);
}
