interface Host {
  process?: { getBuiltinModule?: (name: string) => unknown };
}

interface ModuleBuiltin {
  createRequire(from: string): (name: string) => unknown;
}

/** A package that may be installed beside this one; undefined where it is not, and where there are no packages. */
export function optionalPackage(name: string): unknown {
  try {
    const { process } = globalThis as unknown as Host;
    const builtin = process?.getBuiltinModule?.("node:module") as ModuleBuiltin | undefined;
    return builtin?.createRequire(import.meta.url)(name);
  } catch {
    return undefined;
  }
}
