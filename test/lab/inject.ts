/**
 * Puts frames on a wire as they are, whatever a kernel would think of them, some 100,000 a
 * second. A cable whose other end is not fast enough takes no more for a moment. Node has no sockets of that kind; Perl, which every Debian has, does. (netsniff-ng
 * and trafgen were tried: their transmit rings fail now and then.)
 */
import { execInside } from "./namespaces.ts";

/** Reads frames, each after its length as 32 bits, and sends each as it is. */
const SENDER = `
use strict; use warnings; use Errno; use Socket qw(SOCK_RAW);
my $AF_PACKET = 17;
my $device = shift @ARGV;
open my $file, "<", "/sys/class/net/$device/ifindex" or die "$device: $!";
my $index = 0 + <$file>;
socket my $socket, $AF_PACKET, SOCK_RAW, 0 or die "socket: $!";
my $to = pack "S n i S C C a8", $AF_PACKET, 0, $index, 0, 0, 0, "";
binmode STDIN;
while (read STDIN, my $head, 4) {
  my $length = unpack "N", $head;
  read(STDIN, my $frame, $length) == $length or die "a frame is cut off";
  until (defined send $socket, $frame, 0, $to) {
    die "send: $!" unless $!{ENOBUFS};
    select undef, undef, undef, 0.001;
  }
}
`;

/** Sends Ethernet frames out of a device, in order. */
export async function sendFrames(
  namespace: string,
  device: string,
  frames: readonly Uint8Array[],
): Promise<void> {
  const parts = frames.flatMap((frame) => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(frame.length, 0);
    return [head, frame];
  });
  await execInside(namespace, ["perl", "-e", SENDER, device], Buffer.concat(parts));
}
