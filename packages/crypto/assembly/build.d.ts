/** The WebAssembly module as bytes. */
export declare function compile(): Promise<Uint8Array>;
/** The source file that embeds those bytes. */
export declare function embed(binary: Uint8Array): string;
