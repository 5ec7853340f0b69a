/**
 * Vitest reporter: closes the run with one plain line, `N passed, N failed, N skipped`, and with the line
 * `note` before it where that is given.
 */
export default class Summary {
  #note;

  constructor({ note } = {}) {
    this.#note = note;
  }

  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state in count) count[state]++;
      }
      if (module.errors().length > 0) count.failed++;
    }
    process.once("exit", () => {
      if (this.#note !== undefined) console.log(this.#note);
      console.log(`${count.passed} passed, ${count.failed} failed, ${count.skipped} skipped`);
    });
  }
}
