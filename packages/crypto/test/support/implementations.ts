/** Every implementation that this runtime offers, by name, for `describe.each`. */
import {
  type Curve,
  nobleCurve,
  nobleSignatures,
  platformCurve,
  platformSignatures,
  type SignatureScheme,
} from "../../src/index.ts";

function offered<T extends { name: string }>(...candidates: (T | undefined)[]): [string, T][] {
  return candidates.filter((item) => item !== undefined).map((item) => [item.name, item]);
}

export const curves: [string, Curve][] = offered(nobleCurve, platformCurve);
export const schemes: [string, SignatureScheme][] = offered(nobleSignatures, platformSignatures);

/** Whether `node:crypto` is here: then every test of curves and signatures runs on it as well as on noble. */
export const hasPlatform: boolean = "process" in globalThis;
