/** Kills a process that writes snapshots a thousand times, or as often as told: `pnpm fuzz:snapshots [rounds]`. */
import { killRounds } from "./kill-rounds.ts";

const rounds = Number(process.argv[2] ?? 1000);
const report = await killRounds(rounds, Math.random, (round) => {
  if (round % 100 === 0) console.log(`${round} of ${rounds} killed`);
});
const { roundsWithWrites, acknowledged, faults } = report;
console.log(
  `${rounds} processes killed, ${roundsWithWrites} of them while writing; ${acknowledged} snapshots were acknowledged, ${faults.length} faults`,
);
for (const fault of faults) console.log(fault);
process.exitCode = faults.length === 0 ? 0 : 1;
