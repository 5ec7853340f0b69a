// `node --import .../typescript.js file.ts`: type stripping for Node before 22.18, where it is not built in.
import { register } from "node:module";

if (!process.features.typescript) register("./typescript-hooks.js", import.meta.url);
