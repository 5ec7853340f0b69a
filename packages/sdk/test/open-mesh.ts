import { afterEach, beforeEach } from "vitest";
import { Mesh, type MeshOptions } from "../src/index.ts";

/** The key of every mesh in these tests. */
export const PSK: Uint8Array = new Uint8Array(32).fill(7);

/** Settings of the sockets, by which the suite is run on other ones than the best of this machine. */
const socket: NonNullable<MeshOptions["socket"]> = JSON.parse(process.env["NETMESH_TEST_SOCKET"] ?? "{}");

try {
  await (await Mesh.create({ bind: "127.0.0.1:0", psk: PSK, socket })).shutdown();
} catch (error) {
  if ((error as { code?: string }).code !== "unsupported") throw error;
  beforeEach(({ skip }) => skip(`not tested on these sockets: ${error}`));
}

const opened: Mesh[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((mesh) => mesh.shutdown({ graceMs: 50 })));
});

/** A started mesh on loopback that is shut down after the test. */
export async function openMesh(options: Partial<MeshOptions> = {}): Promise<Mesh> {
  const mesh = await Mesh.open({ bind: "127.0.0.1:0", psk: PSK, socket, ...options });
  opened.push(mesh);
  return mesh;
}

/** As {@link openMesh}, but not started. */
export async function createMesh(options: Partial<MeshOptions> = {}): Promise<Mesh> {
  const mesh = await Mesh.create({ bind: "127.0.0.1:0", psk: PSK, socket, ...options });
  opened.push(mesh);
  return mesh;
}

/** The properties of the next event of that type. */
export function nextEvent<T extends object>(
  mesh: Mesh,
  type: Parameters<Mesh["addEventListener"]>[0],
): Promise<T> {
  return new Promise((resolve) => {
    mesh.addEventListener(type, (event) => resolve(event as unknown as T), { once: true });
  });
}

export const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
export const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
