// The newest request wins: one is in work, and of those that come meanwhile only the last is kept.

export class Latest {
  #work;
  #busy = false;
  #pending = null;

  /** `work(request)` returns a promise; it handles its own errors. */
  constructor(work) {
    this.#work = work;
  }

  get busy() {
    return this.#busy;
  }

  async ask(request) {
    this.#pending = { request };
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (this.#pending) {
        const { request: newest } = this.#pending;
        this.#pending = null;
        await this.#work(newest);
      }
    } finally {
      this.#busy = false;
    }
  }
}
