/** The lines of the README. */
import {
  deriveSessionKeys,
  handshakePrologue,
  Identity,
  issueToken,
  NoiseInitiator,
  NoiseResponder,
  RevocationFloors,
  randomBytes,
  staticKeyPairFromIdentity,
  TokenChain,
  TokenScope,
} from "@netmesh/crypto";
import { channelHash } from "@netmesh/wire";
import { expect, test } from "vitest";

test("the handshake of the README gives both sides the same session", () => {
  const psk = randomBytes(32);
  const [alice, bob] = [Identity.generate(), Identity.generate()];
  const prologue = handshakePrologue(alice.nodeId, bob.nodeId);
  const staticKeyPair = staticKeyPairFromIdentity(bob);

  const initiator = new NoiseInitiator({ psk, prologue, responderPublicKey: staticKeyPair.publicKey });
  const responder = new NoiseResponder({ psk, prologue, staticKeyPair });
  responder.readMessage1(initiator.writeMessage1());
  initiator.readMessage2(responder.writeMessage2());
  const keys = deriveSessionKeys(initiator.result.handshakeHash, "initiator");
  expect(deriveSessionKeys(responder.result.handshakeHash, "responder").rxKey).toEqual(keys.txKey);
});

test("the chain of the README lets the robot in until the owner revokes", () => {
  const [owner, fleet, robot] = [Identity.generate(), Identity.generate(), Identity.generate()];
  const channel = channelHash("sensors/lidar");
  const now = 1_700_000_000n;

  const grant = { subject: fleet.entityId, scope: TokenScope.ALL, channel, ttl: 3600n, delegationDepth: 1 };
  const forFleet = new TokenChain([issueToken(owner, grant, now)]);
  const forRobot = forFleet.delegate(fleet, { subject: robot.entityId, scope: TokenScope.SUBSCRIBE }, now);

  const revocations = new RevocationFloors();
  const asked = { action: TokenScope.SUBSCRIBE, channel, roots: [owner.entityId], revocations, now };
  const chain = TokenChain.parse(forRobot.toBytes());
  chain.authorize({ ...asked, presenter: robot.entityId });

  revocations.raise(owner.entityId, 1);
  expect(() => chain.authorize({ ...asked, presenter: robot.entityId })).toThrow(
    expect.objectContaining({ code: "revoked" }),
  );
});
