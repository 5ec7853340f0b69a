/** Where the module of a thread is: a file beside this one, in the sources as in what is built from them. */
export function threadUrl(name: string): URL {
  const here = import.meta.url;
  return new URL(`./${name}${here.endsWith(".ts") ? ".ts" : ".js"}`, here);
}
