import { DaemonGroup } from "./daemon-group.ts";
import type { MemberPlan } from "./member-hosting.ts";
import { requireMemberCount } from "./member-keys.ts";

/** A group of equals, of which there can be more or fewer. */
export abstract class ScalableGroup extends DaemonGroup {
  /**
   * Makes the group that large: new members get the next indices, those with the highest go first. Resolves when it is; rejects with
   * `invalid-config` for less than 1 or more than 256, and as `GroupError` says when a member cannot be made: then none of the new ones is
   * left.
   */
  scaleTo(count: number): Promise<void> {
    return this.changing(() => this.#resize(count));
  }

  /**
   * A node has failed: its members are made anew elsewhere, with the same keys. Resolves to the indices of those concerned; for which there
   * is no node, they stay unhealthy until `recover` finds one.
   */
  onNodeFailure(nodeId: bigint): Promise<number[]> {
    return this.changing(async () => {
      const affected = this.members_.fail(nodeId);
      for (const index of affected) await this.members_.replace(index);
      return affected;
    });
  }

  /**
   * Makes the first members; rejected, nothing is left.
   * @internal
   */
  protected async start(count: number): Promise<void> {
    try {
      await this.scaleTo(count);
    } catch (error) {
      this.forget();
      throw error;
    }
  }

  /**
   * What the member with that index is made of, with a key of its own.
   * @internal
   */
  protected abstract planOf(index: number): MemberPlan;

  async #resize(count: number): Promise<void> {
    requireMemberCount(count, 1);
    const before = this.size;
    while (this.size > count) await this.removeLast();
    try {
      while (this.size < count) await this.members_.add(this.planOf(this.size));
    } catch (error) {
      while (this.size > before) await this.removeLast();
      throw error;
    }
  }
}
