/**
 * Port mapping on Node: sockets, HTTP and the routes of the system under the clients of `@netmesh/traversal`.
 * @packageDocumentation
 */

export { defaultGateway } from "./default-gateway.ts";
export { deviceHttp } from "./device-http.ts";
export { gatewaySockets } from "./gateway-sockets.ts";
export { noticeSocket } from "./notice-socket.ts";
export { searchSockets } from "./search-sockets.ts";
export { SystemMapper, type SystemMapperOptions } from "./system-mapper.ts";
export { systemTimers } from "./system-timers.ts";
