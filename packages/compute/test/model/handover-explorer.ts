import {
  type HandoverSourceInput,
  type HandoverSourcePhase,
  stepHandoverSource,
} from "../../src/migration/handover/handover-source.ts";
import {
  type HandoverTargetInput,
  type HandoverTargetPhase,
  stepHandoverTarget,
} from "../../src/migration/handover/handover-target.ts";

/** A message under way: its type, and the move that it is about. */
type Message = `${string}#${number}`;

/** Two nodes, their disks, and what is under way between them; one daemon that begins at the source. */
export interface World {
  /** The move under way or last tried. */
  readonly move: number;
  readonly sourceUp: boolean;
  readonly source: HandoverSourcePhase | "none";
  /** What the source's store does: `record`, `withdraw`, `forget`. */
  readonly sourceOp: string;
  /** The move that the source's durable record hands over; 0 for none. */
  readonly record: number;
  /** Whether the daemon is at the source, serving or waiting. */
  readonly sourceHas: boolean;
  readonly targetUp: boolean;
  readonly target: HandoverTargetPhase;
  readonly targetMove: number;
  readonly targetOp: string;
  /** The target's marker in its store, and whether the daemon's snapshot is there. */
  readonly targetDisk: "none" | "prepared" | "committed";
  readonly targetSnapshot: boolean;
  readonly targetDiskMove: number;
  readonly targetLive: boolean;
  /** Events acknowledged to callers, and those in each copy. */
  readonly acknowledged: number;
  readonly sourceEvents: number;
  readonly sourceDiskEvents: number;
  /** Whether the source's store has a snapshot of the daemon, which a start restores unless a record hands it over. */
  readonly sourceDisk: boolean;
  readonly copyEvents: number;
  readonly targetDiskEvents: number;
  readonly crashes: number;
  /** Under way, in no order: each may arrive, again and again, or be lost. */
  readonly net: readonly Message[];
}

/** Bounds of an exploration. */
export interface Bounds {
  /** Moves that are tried one after the other. */
  readonly moves: number;
  /** Crashes of either node. */
  readonly crashes: number;
  /** Events that callers deliver. */
  readonly events: number;
}

const START: World = {
  move: 0,
  sourceUp: true,
  source: "none",
  sourceOp: "",
  record: 0,
  sourceHas: true,
  targetUp: true,
  target: "gone",
  targetMove: 0,
  targetOp: "",
  targetDisk: "none",
  targetSnapshot: false,
  targetDiskMove: 0,
  targetLive: false,
  acknowledged: 0,
  sourceEvents: 0,
  sourceDiskEvents: 0,
  sourceDisk: true,
  copyEvents: 0,
  targetDiskEvents: 0,
  crashes: 0,
  net: [],
};

function sent(world: World, type: string, move: number): World {
  const message: Message = `${type}#${move}`;
  return world.net.includes(message) ? world : { ...world, net: [...world.net, message].sort() };
}

function stepSource(world: World, input: HandoverSourceInput): World {
  if (world.source === "none") return world;
  const { phase, effects } = stepHandoverSource(world.source, input);
  let next: World = { ...world, source: phase };
  for (const effect of effects) {
    if (effect === "record" || effect === "withdraw" || effect === "forget")
      next = { ...next, sourceOp: effect };
    else if (effect === "relinquish") next = { ...next, sourceHas: false };
    else if (effect !== "resume") next = sent(next, effect.slice("send-".length), next.move);
  }
  return next;
}

function stepTarget(world: World, input: HandoverTargetInput): World {
  const { phase, effects } = stepHandoverTarget(world.target, input);
  let next: World = { ...world, target: phase };
  for (const effect of effects) {
    if (effect.startsWith("persist")) next = { ...next, targetOp: effect };
    else if (effect === "activate") next = { ...next, targetLive: true };
    else if (effect === "discard") next = { ...next, targetSnapshot: false, copyEvents: 0 };
    else next = sent(next, effect.slice("send-".length), next.targetMove);
  }
  return next;
}

/** A message arrives. What is about a move that the node does not know is answered as the nodes do. */
function delivered(world: World, message: Message): World {
  const [type, number] = message.split("#") as [string, string];
  const move = Number(number);
  if (type === "prepare" || type === "commit" || type === "abort") {
    if (!world.targetUp || world.targetMove !== move) return world;
    return stepTarget(world, type);
  }
  if (!world.sourceUp) return world;
  if (world.source !== "none" && world.move === move) return stepSource(world, type as HandoverSourceInput);
  return type === "prepared" || type === "query" ? sent(world, "abort", move) : world;
}

/** What happens when the source's process starts: a record says that the daemon is handed over; without, it is restored. */
function sourceRestarted(world: World): World {
  const isOver = world.record !== 0;
  return {
    ...world,
    sourceUp: true,
    source: isOver ? "handed-over" : "none",
    move: isOver ? world.record : world.move,
    sourceHas: !isOver && world.sourceDisk,
    sourceEvents: world.sourceDiskEvents,
  };
}

/** What happens when the target's process starts. */
function targetRestarted(world: World): World {
  const { targetSnapshot } = world;
  // A marker alone says that nothing was prepared; a snapshot alone is a daemon of this node.
  const targetDisk = targetSnapshot ? world.targetDisk : "none";
  return {
    ...world,
    targetUp: true,
    target: targetDisk === "none" ? "gone" : targetDisk === "prepared" ? "prepared" : "live",
    targetMove: targetDisk === "none" ? 0 : world.targetDiskMove,
    targetDisk,
    targetLive: targetSnapshot && targetDisk !== "prepared",
    copyEvents: world.targetDiskEvents,
  };
}

/** Whether the daemon at the source takes events. */
function serves(world: World): boolean {
  const { source } = world;
  return (
    world.sourceUp && world.sourceHas && (source === "none" || source === "copying" || source === "aborted")
  );
}

/** All that can happen next, each with a name. */
function successors(world: World, bounds: Bounds, isMarkedLate: boolean): [string, World][] {
  const next: [string, World][] = [];
  const add = (name: string, to: World): void => void next.push([name, to]);
  for (const message of world.net) {
    const without = { ...world, net: world.net.filter((other) => other !== message) };
    add(`${message} arrives`, delivered(without, message));
    add(`${message} arrives and will again`, delivered(world, message));
    add(`${message} is lost`, without);
  }
  const { source, target } = world;
  if (world.sourceUp) {
    const isFree = source === "none" || source === "aborted";
    if (isFree && world.sourceHas && world.move < bounds.moves) {
      // The target refuses another move while it has one that is undecided.
      const isTaken =
        !world.targetUp || target !== "gone" || world.targetOp !== "" || world.targetDisk !== "none";
      const move = world.move + 1;
      const begun: World = { ...world, move, source: "copying" };
      add("a move begins", isTaken ? begun : { ...begun, target: "receiving", targetMove: move });
    }
    if (source === "copying") {
      const isConnected = world.targetUp && target === "receiving" && world.targetMove === world.move;
      const copied = stepSource(world, "copied");
      if (isConnected)
        add("all is copied", stepTarget({ ...copied, copyEvents: world.sourceEvents }, "received"));
      add(
        "the stream breaks",
        isConnected ? stepTarget(stepSource(world, "refused"), "fail") : stepSource(world, "refused"),
      );
    }
    if (source !== "none") {
      add("source tick", stepSource(world, "tick"));
      add("cancel", stepSource(world, "cancel"));
    }
    if (world.sourceOp === "forget") {
      const over = { ...world, sourceOp: "" };
      // The snapshot goes first: a start between the two must not find it without the record.
      add("source store works", { ...over, sourceDisk: false, record: 0 });
      add("source store fails", over);
      add("source store fails half way", { ...over, sourceDisk: false });
    } else if (world.sourceOp !== "") {
      const isRecord = world.sourceOp === "record";
      const over = { ...world, sourceOp: "" };
      const wrote = { ...over, record: isRecord ? world.move : 0 };
      add("source store works", stepSource(wrote, isRecord ? "recorded" : "withdrawn"));
      add("source store fails", stepSource(over, isRecord ? "record-failed" : "withdraw-failed"));
      add("source store fails but wrote", stepSource(wrote, isRecord ? "record-failed" : "withdraw-failed"));
    }
    if (serves(world) && world.acknowledged < bounds.events) {
      const acknowledged = world.acknowledged + 1;
      add("an event", { ...world, acknowledged, sourceEvents: world.sourceEvents + 1 });
    }
    if (serves(world) && world.sourceDiskEvents < world.sourceEvents) {
      add("source snapshot", { ...world, sourceDiskEvents: world.sourceEvents });
    }
    if (world.crashes < bounds.crashes) {
      const down: World = {
        ...world,
        crashes: world.crashes + 1,
        sourceUp: false,
        source: "none",
        sourceOp: "",
      };
      const crashed = { ...down, sourceHas: false };
      add("source crashes", crashed);
      if (world.sourceOp === "record") add("source crashes, recorded", { ...crashed, record: world.move });
      if (world.sourceOp === "withdraw") add("source crashes, withdrawn", { ...crashed, record: 0 });
      if (world.sourceOp === "forget") {
        add("source crashes, half forgotten", { ...crashed, sourceDisk: false });
        add("source crashes, forgotten", { ...crashed, sourceDisk: false, record: 0 });
      }
    }
  } else add("source restarts", sourceRestarted(world));
  if (world.targetUp) {
    add("target tick", stepTarget(world, "tick"));
    if (world.targetOp !== "") {
      const over = { ...world, targetOp: "" };
      const wrote = targetWrote(over, world.targetOp);
      add("target store works", stepTarget(wrote, "persisted"));
      add("target store fails", stepTarget(over, "persist-failed"));
    }
    if (world.crashes < bounds.crashes) {
      const down: World = {
        ...world,
        crashes: world.crashes + 1,
        targetUp: false,
        target: "gone",
        targetMove: 0,
        targetOp: "",
        targetLive: false,
        copyEvents: 0,
      };
      add("target crashes", down);
      if (world.targetOp !== "") add("target crashes, persisted", targetWrote(down, world.targetOp, world));
      if (world.targetOp === "persist-prepared")
        add("target crashes, half persisted", targetHalfWrote(down, world, isMarkedLate));
    }
    if (target === "gone" && world.targetOp === "" && world.targetDisk !== "none" && !world.targetSnapshot)
      add("target store clears", { ...world, targetDisk: "none", targetDiskMove: 0 });
  } else add("target restarts", targetRestarted(world));
  return next;
}

function targetWrote(world: World, op: string, before: World = world): World {
  if (op !== "persist-prepared") return { ...world, targetDisk: "committed" };
  const targetDiskEvents = before.copyEvents;
  const targetDiskMove = before.targetMove;
  return { ...world, targetDisk: "prepared", targetSnapshot: true, targetDiskMove, targetDiskEvents };
}

/** The first of the two that are to be stored of a prepared daemon is there, the second is not. */
function targetHalfWrote(world: World, before: World, isMarkedLate: boolean): World {
  const wrote = targetWrote(world, "persist-prepared", before);
  return isMarkedLate
    ? { ...wrote, targetDisk: "none", targetDiskMove: 0 }
    : { ...wrote, targetSnapshot: false };
}

/** What is wrong with a world; undefined when nothing is. */
function fault(world: World): string | undefined {
  if (world.sourceHas && world.targetLive) return "two live copies";
  if (world.record !== 0 && world.source !== "withdrawing" && world.source !== "recording") {
    if (world.targetDisk === "none" || !world.targetSnapshot) return "none, and nothing to recover it from";
  }
  if (!world.sourceHas && world.sourceUp && world.record === 0 && !isAtTarget(world)) return "none anywhere";
  if (world.crashes === 0 && world.targetLive && world.copyEvents !== world.acknowledged)
    return "events lost";
  return undefined;
}

function isAtTarget(world: World): boolean {
  return world.targetLive || world.targetDisk === "committed";
}

/** Whether all is decided and exactly one copy serves; a record that could not be deleted goes at the source's next start. */
function isSettled(world: World): boolean {
  if (!world.sourceUp || !world.targetUp) return false;
  return serves(world) ? !world.targetLive && world.targetDisk === "none" : world.targetLive;
}

/** What an exploration found. */
export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** What is wrong, and the shortest way there. */
  readonly fault: { readonly what: string; readonly path: readonly string[] } | undefined;
  /** The shortest way to a world from which nothing leads to exactly one serving copy. */
  readonly stuck: readonly string[] | undefined;
}

/**
 * Goes through every world that the bounds allow, nearest first. A hasty target lets the daemon serve as soon as it is prepared, one that marks late
 * stores the snapshot before the marker; both have to be found.
 */
export function explore(
  bounds: Bounds,
  {
    isHasty = false,
    isMarkedLate = false,
  }: { readonly isHasty?: boolean; readonly isMarkedLate?: boolean } = {},
): Exploration {
  const worlds: World[] = [START];
  const ids = new Map<string, number>([[keyOf(START), 0]]);
  const cameFrom: { readonly from: number; readonly by: string }[] = [{ from: -1, by: "" }];
  const before: number[][] = [[]];
  let transitions = 0;
  const pathTo = (id: number): string[] => {
    const path: string[] = [];
    for (let at = id; at > 0; at = cameFrom[at]?.from ?? -1) path.unshift(cameFrom[at]?.by ?? "");
    return path;
  };
  for (let at = 0; at < worlds.length; at++) {
    const world = worlds[at] as World;
    const what = fault(isHasty && world.target === "prepared" ? { ...world, targetLive: true } : world);
    if (what !== undefined) {
      return { states: worlds.length, transitions, fault: { what, path: pathTo(at) }, stuck: undefined };
    }
    for (const [by, to] of successors(world, bounds, isMarkedLate)) {
      transitions++;
      const key = keyOf(to);
      let id = ids.get(key);
      if (id === undefined) {
        id = worlds.length;
        ids.set(key, id);
        worlds.push(to);
        cameFrom.push({ from: at, by });
        before.push([]);
      }
      before[id]?.push(at);
    }
  }
  const canSettle = new Uint8Array(worlds.length);
  const open: number[] = [];
  worlds.forEach((world, id) => {
    if (!isSettled(world)) return;
    canSettle[id] = 1;
    open.push(id);
  });
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const from of before[id] ?? []) {
      if (canSettle[from] === 1) continue;
      canSettle[from] = 1;
      open.push(from);
    }
  }
  const stuck = canSettle.indexOf(0);
  return {
    states: worlds.length,
    transitions,
    fault: undefined,
    stuck: stuck < 0 ? undefined : pathTo(stuck),
  };
}

function keyOf(world: World): string {
  return Object.values(world).join("|");
}
