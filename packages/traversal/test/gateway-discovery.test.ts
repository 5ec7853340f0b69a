import { describe, expect, it } from "vitest";
import { gatewayInLinuxRoutes, gatewayInMacosRoute, gatewayInWindowsRoutes } from "../src/index.ts";
import { defaultGateway } from "../src/node/index.ts";

const header =
  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT                                                       \n";
const row = (
  destination: string,
  gateway: string,
  rest: { flags?: string; metric?: number; mask?: string } = {},
) =>
  `eth0\t${destination}\t${gateway}\t${rest.flags ?? "0003"}\t0\t0\t${rest.metric ?? 0}\t${rest.mask ?? "00000000"}\t0\t0\t0\n`;

describe("the routes of Linux", () => {
  it("have the gateway of the default route", () => {
    const lan = row("0001A8C0", "00000000", { mask: "00FFFFFF", flags: "0001" });
    expect(gatewayInLinuxRoutes(header + lan + row("00000000", "0101A8C0"))).toBe("192.168.1.1");
    expect(gatewayInLinuxRoutes(header + row("00000000", "010010AC"))).toBe("172.16.0.1");
    expect(gatewayInLinuxRoutes(header + row("00000000", "FEFEFEFE"))).toBe("254.254.254.254");
  });

  it.each([
    ["nothing", ""],
    ["a header only", header],
    ["no default route", header + row("0001A8C0", "0101A8C0", { mask: "00FFFFFF" })],
    [
      "a default route to a point-to-point link only",
      header + row("00000000", "00000000", { flags: "0001" }),
    ],
    ["half of the address space by a VPN", header + row("00000000", "0101A8C0", { mask: "00000080" })],
    ["a route that is down", header + row("00000000", "0101A8C0", { flags: "0002" })],
    ["too few columns", `${header}eth0\t00000000\n`],
  ])("with %s have none", (_, text) => {
    expect(gatewayInLinuxRoutes(text)).toBeUndefined();
  });

  it("with rows that cannot be used go on to the next", () => {
    const text = header + row("00000000", "xyz") + row("00000000", "00000000") + row("00000000", "0101A8C0");
    expect(gatewayInLinuxRoutes(text)).toBe("192.168.1.1");
  });

  it("with several gateways have the cheapest, of equal ones the first", () => {
    const text =
      header +
      row("00000000", "0101A8C0", { metric: 600 }) +
      row("00000000", "0201A8C0", { metric: 100 }) +
      row("00000000", "0301A8C0", { metric: 100 });
    expect(gatewayInLinuxRoutes(text)).toBe("192.168.1.2");
  });

  it("of few columns are read as far as they go", () => {
    expect(gatewayInLinuxRoutes("Iface Destination Gateway\neth0 00000000 0101A8C0\n")).toBe("192.168.1.1");
  });
});

describe("the default route of macOS", () => {
  const text = `   route to: default
destination: default
       mask: default
    gateway: 192.168.1.1
  interface: en0
      flags: <UP,GATEWAY,DONE,STATIC,PRCLONING,GLOBAL>
 recvpipe  sendpipe  ssthresh  rtt,msec    rttvar  hopcount      mtu     expire
       0         0         0         0         0         0      1500         0
`;

  it("has a gateway", () => {
    expect(gatewayInMacosRoute(text)).toBe("192.168.1.1");
  });

  it.each([
    ["no gateway", text.replace("gateway", "getaway")],
    ["a link instead", text.replace("192.168.1.1", "link#12")],
    ["IPv6", text.replace("192.168.1.1", "fe80::1%en0")],
    ["nothing", ""],
  ])("with %s has none", (_, changed) => {
    expect(gatewayInMacosRoute(changed)).toBeUndefined();
  });
});

describe("the routes of Windows", () => {
  const table = (rows: string) =>
    `===========================================================================
Schnittstellenliste
 12...00 15 5d 01 02 03 ......Microsoft Hyper-V Network Adapter
  1...........................Software Loopback Interface 1
===========================================================================

IPv4-Routentabelle
===========================================================================
Aktive Routen:
     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik
${rows}===========================================================================
Ständige Routen:
  Netzwerkadresse          Netzmaske  Gatewayadresse  Metrik
          0.0.0.0          0.0.0.0     192.168.9.9       1
===========================================================================
`.replaceAll("\n", "\r\n");
  const lan = "          0.0.0.0          0.0.0.0      192.168.1.1     192.168.1.10     25\n";

  it("have the gateway of the default route, in any language", () => {
    expect(gatewayInWindowsRoutes(table(lan))).toBe("192.168.1.1");
  });

  it("with several have the cheapest", () => {
    const other = "          0.0.0.0          0.0.0.0      192.168.7.1     192.168.7.10     10\n";
    expect(gatewayInWindowsRoutes(table(lan + other))).toBe("192.168.7.1");
  });

  it("with a link only have none", () => {
    const link = "          0.0.0.0          0.0.0.0         On-link        10.8.0.2      5\n";
    expect(gatewayInWindowsRoutes(table(link))).toBeUndefined();
  });
});

describe("this system", () => {
  it.each(["aix", "win32", "darwin"] as const)(
    "has no gateway when its programs are missing, as on %s",
    async (name) => {
      if (name !== process.platform) expect(await defaultGateway(name)).toBeUndefined();
    },
  );
});
