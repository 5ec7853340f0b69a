import type { PortMappingError } from "@netmesh/traversal";
import { defaultGateway, SystemMapper } from "@netmesh/traversal/node";
import type { Finding } from "./finding.ts";

const PROTOCOLS = ["pcp", "nat-pmp", "upnp"] as const;
/** Lease of the mappings that are made to see whether they can be; taken back at once. */
const LEASE_MS = 60_000;

/** What the router has said to one protocol. */
interface Answer {
  readonly protocol: (typeof PROTOCOLS)[number];
  /** Where the port leads from outside; undefined where it could not be mapped. */
  readonly external: string | undefined;
  /** `unavailable`, `timeout`, `refused`, `transport`, and what is known of it. */
  readonly error: string | undefined;
}

/** Asks the router for the port by each protocol, and takes every mapping back. A host that is open does without. */
export async function checkPortMapping(port: number, isOpen: boolean): Promise<Finding> {
  const gateway = await defaultGateway();
  const answers: Answer[] = [];
  for (const protocol of PROTOCOLS) answers.push(await ask(protocol, port));
  const mapped = answers.find(({ external }) => external !== undefined);
  const words = answers.map(({ protocol, external, error }) => `${protocol} ${external ?? error}`);
  const refused = answers.find(({ error }) => error !== undefined && !error.startsWith("unavailable"));
  const cause =
    gateway === undefined
      ? "no gateway is known: the host has no default route"
      : refused === undefined
        ? `the router ${gateway} offers no port mapping`
        : `the router ${gateway} maps no port: ${refused.error}`;
  const isWanting = mapped === undefined && !isOpen;
  return {
    check: "port-mapping",
    status: isWanting ? "warning" : "ok",
    summary: `${words.join(", ")}${mapped === undefined && isOpen ? "; not needed, this host is open" : ""}`,
    ...(isWanting ? { cause } : {}),
    details: { gateway: gateway ?? null, answers },
  };
}

async function ask(protocol: Answer["protocol"], port: number): Promise<Answer> {
  const mapper = new SystemMapper({ protocols: [protocol], description: "netmesh doctor" });
  try {
    await mapper.probe();
    const mapping = await mapper.install(port, LEASE_MS);
    await mapper.remove(mapping);
    return { protocol, external: mapping.external.key, error: undefined };
  } catch (error) {
    const { kind, detail } = error as PortMappingError;
    return { protocol, external: undefined, error: detail === "" ? kind : `${kind} (${detail})` };
  }
}
