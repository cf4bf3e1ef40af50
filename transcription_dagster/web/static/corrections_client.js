// The API client for one recording. It sends one request at a time, so that each knows the result of the one before.

const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

export class Conflict extends Error {
  constructor(body) {
    super(body.error);
    this.theirs = body.theirs;
  }
}

export class CorrectionsClient {
  constructor(recording, version) {
    this.address = `/api/recordings/${recording}`;
    this.version = version;
    this.last = Promise.resolve();
  }

  get who() {
    return localStorage.getItem("corrector") ?? "";
  }

  set who(name) {
    localStorage.setItem("corrector", name.trim());
  }

  // Records a correction and returns the result. `seen` is the version that was corrected, by default
  // that of the last response.
  correct(wanted) {
    return this.#inTurn(async () => {
      const answer = await this.#post("/corrections", { seen: this.version, who: this.who || null, ...wanted });
      this.version = answer.version;
      return answer;
    });
  }

  replace(wanted) {
    return this.#inTurn(async () => {
      const answer = await this.#post("/replacements", { seen: this.version, who: this.who || null, ...wanted });
      this.version = answer.version;
      return answer;
    });
  }

  // Names the speaker of a word in every recording with a certain match of the voice.
  nameVoice(word, speaker) {
    return this.#inTurn(() => this.#post("/voices", { word, speaker, who: this.who || null }));
  }

  async history() {
    return read(await fetch(`${this.address}/corrections`));
  }

  async turns(first, stop) {
    return read(await fetch(`${this.address}/turns?first=${first}&stop=${stop}`));
  }

  async passages(first, stop) {
    return read(await fetch(`${this.address}/turns?first=${first}&stop=${stop}&passages=true`));
  }

  #inTurn(task) {
    const result = this.last.then(task);
    this.last = result.catch(() => {});
    return result;
  }

  async #post(path, body) {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
    return read(await fetch(this.address + path, { method: "POST", headers, body: JSON.stringify(body) }));
  }
}

async function read(response) {
  const body = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (response.status === 409 && body.theirs) throw new Conflict(body);
  if (!response.ok) throw new Error(body.error);
  return body;
}
