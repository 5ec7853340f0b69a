import type { Options } from "tsup";
export declare function preset(options?: Options): ReturnType<typeof import("tsup").defineConfig>;
