// A program of its own: it enters the two namespaces one after the other, and keeps a TUN device of each.
import { openSync, read, write } from "node:fs";
import koffi from "koffi";

const [leftSpace, leftDevice, rightSpace, rightDevice, delayText, jitterText] = process.argv.slice(2);
const [delayMs, jitterMs] = [Number(delayText), Number(jitterText)];

const CLONE_NEWNET = 0x4000_0000;
const TUNSETIFF = 0x4004_54ca;
const IFF_TUN_NO_PI = 0x1001;
const IFREQ_BYTES = 40;

const libc = koffi.load(null);
const setns = libc.func("int setns(int fd, int type)");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");

function tun(space, device) {
  if (setns(openSync(`/var/run/netns/${space}`, "r"), CLONE_NEWNET) !== 0) throw new Error(`setns ${space}`);
  const fd = openSync("/dev/net/tun", "r+");
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(device, 0, 15, "latin1");
  request.writeUInt16LE(IFF_TUN_NO_PI, 16);
  if (ioctl(fd, TUNSETIFF, request) !== 0) throw new Error(`TUN device ${device}`);
  return fd;
}

/** Normally distributed around zero (Box and Muller). */
function deviation() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function forward(from, to) {
  const packet = Buffer.alloc(65_536);
  read(from, packet, 0, packet.length, null, (error, length) => {
    if (!error) {
      const copy = Buffer.from(packet.subarray(0, length));
      setTimeout(() => write(to, copy, 0, length, null, () => {}), delayMs + jitterMs * deviation());
    }
    // A device that is not up yet refuses to be read.
    if (error) setTimeout(() => forward(from, to), 10);
    else forward(from, to);
  });
}

const [left, right] = [tun(leftSpace, leftDevice), tun(rightSpace, rightDevice)];
forward(left, right);
forward(right, left);
// Whoever started us is gone when the pipe ends.
process.stdin.on("end", () => process.exit()).resume();
process.stdout.write("ready\n");
