// The API client for one recording. It sends changes one at a time, so that each knows the version that the last made.

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

  // Records a correction and returns the result.
  correct(correction) {
    return this.#change("/corrections", correction);
  }

  // Previews a replacement, or applies it.
  replace(replacement) {
    return this.#change("/replacements", replacement);
  }

  // `seen` is the version that was changed, by default that of the last response.
  #change(path, values) {
    return this.#enqueue(async () => {
      const result = await this.#post(path, { seen: this.version, who: this.who || null, ...values });
      this.version = result.version;
      return result;
    });
  }

  // Names the speaker of a word in every recording with a certain match of the voice.
  nameVoice(word, speaker) {
    return this.#enqueue(() => this.#post("/voices", { word, speaker, who: this.who || null }));
  }

  async history() {
    return read(await request(`${this.address}/corrections`));
  }

  async turns(first, stop) {
    return read(await request(`${this.address}/turns?first=${first}&stop=${stop}`));
  }

  async passages(first, stop) {
    return read(await request(`${this.address}/turns?first=${first}&stop=${stop}&passages=true`));
  }

  #enqueue(task) {
    const result = this.last.then(task);
    this.last = result.catch(() => {});
    return result;
  }

  async #post(path, body) {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
    return read(await request(this.address + path, { method: "POST", headers, body: JSON.stringify(body) }));
  }
}

async function request(address, options) {
  try {
    return await fetch(address, options);
  } catch {
    throw new Error("the server cannot be reached. Your text is still here: go on typing to try again.");
  }
}

async function read(response) {
  const body = await response.json().catch(() => ({ error: `the server answered ${response.status}` }));
  if (response.status === 409 && body.theirs) throw new Conflict(body);
  if (response.status === 401) {
    throw new Error("you are logged out. Log in again in another tab; your text is still here: go on typing to save it.");
  }
  if (!response.ok) throw new Error(body.error);
  return body;
}
