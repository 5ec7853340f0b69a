import { type Household, MESH_PORT, type NatKind, PINNED_PORT } from "./plan.ts";

/** What a router does with packets from outside that belong to nothing. */
export type Unsolicited = "drop" | "reject" | "accept";

/** The chains that the daemon looks for in the table `inet filter`, and that only it fills. */
const DAEMON_CHAINS = ["miniupnpd", "prerouting_miniupnpd", "postrouting_miniupnpd"];

/** Rules that empty what the daemon has made. */
export function daemonResetRules(): string {
  return DAEMON_CHAINS.map(
    (chain) => `add chain inet filter ${chain}\nflush chain inet filter ${chain}`,
  ).join("\n");
}

/** Everything about a router in one transaction; what the daemon has mapped stays. */
export function routerRules(home: Household, wan: string, kind: NatKind, unsolicited: Unsolicited): string {
  const { forward, prerouting, postrouting } = kindRules(home, wan, kind);
  const verdict = unsolicited === "accept" ? "accept" : unsolicited;
  return `
add table inet filter
add set inet filter contacted { type ipv4_addr; flags dynamic,timeout; timeout 60s; }
add chain inet filter input { type filter hook input priority 0; policy accept; }
add chain inet filter forward { type filter hook forward priority 0; policy drop; }
add chain inet filter prerouting { type nat hook prerouting priority -100; policy accept; }
add chain inet filter postrouting { type nat hook postrouting priority 100; policy accept; }
${DAEMON_CHAINS.map((chain) => `add chain inet filter ${chain}`).join("\n")}
flush chain inet filter input
flush chain inet filter forward
flush chain inet filter prerouting
flush chain inet filter postrouting
flush set inet filter contacted
add rule inet filter input ct state established,related accept
add rule inet filter input iifname wan ${verdict}
${forward.map((rule) => `add rule inet filter forward ${rule}`).join("\n")}
add rule inet filter forward jump miniupnpd
add rule inet filter forward iifname lan accept
add rule inet filter forward ct state established,related accept
add rule inet filter forward ct status dnat accept
add rule inet filter prerouting jump prerouting_miniupnpd
${prerouting.map((rule) => `add rule inet filter prerouting ${rule}`).join("\n")}
add rule inet filter postrouting jump postrouting_miniupnpd
${postrouting.map((rule) => `add rule inet filter postrouting ${rule}`).join("\n")}
`;
}

interface KindRules {
  readonly forward: readonly string[];
  readonly prerouting: readonly string[];
  readonly postrouting: readonly string[];
}

function kindRules(home: Household, wan: string, kind: NatKind): KindRules {
  const masquerade = "oifname wan masquerade";
  // A range of ports would be another one per destination; a single one stays.
  const pinned = `oifname wan ip saddr ${home.host} udp sport ${MESH_PORT} snat ip to ${wan}:${PINNED_PORT}`;
  const inward = (from: string): string =>
    `iifname wan udp dport ${PINNED_PORT} ${from} dnat ip to ${home.host}:${MESH_PORT}`.replace(
      / {2,}/g,
      " ",
    );
  const remember = `oifname wan ip saddr ${home.host} udp sport ${MESH_PORT} update @contacted { ip daddr timeout 60s }`;
  switch (kind) {
    case "none":
      return { forward: ["iifname wan accept"], prerouting: [], postrouting: [] };
    case "port-preserving":
      return { forward: [], prerouting: [], postrouting: [masquerade] };
    case "port-restricted":
      return { forward: [], prerouting: [], postrouting: [pinned, masquerade] };
    case "addr-restricted":
      return {
        forward: [remember],
        prerouting: [inward("ip saddr @contacted")],
        postrouting: [pinned, masquerade],
      };
    case "full-cone":
      return { forward: [], prerouting: [inward("")], postrouting: [pinned, masquerade] };
    case "symmetric":
      return { forward: [], prerouting: [], postrouting: [`${masquerade} fully-random`] };
  }
}

/** A carrier's NAT, symmetric and closed. */
export function carrierRules(): string {
  return `
add table ip carrier
add chain ip carrier postrouting { type nat hook postrouting priority 100; }
add rule ip carrier postrouting oifname wan masquerade fully-random
add chain ip carrier input { type filter hook input priority 0; }
add rule ip carrier input iifname wan ct state new drop
`;
}

/** Loses this percentage of UDP packets in the core. */
export function lossRules(percent: number): string {
  const rule =
    percent <= 0
      ? ""
      : `add rule inet loss forward meta l4proto udp numgen random mod 100 <= ${percent - 1} drop`;
  return `
add table inet loss
add chain inet loss forward { type filter hook forward priority -10; policy accept; }
flush chain inet loss forward
${rule}
`;
}
