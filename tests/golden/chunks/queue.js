'use strict';

import { EventEmitter } from 'node:events';
import path from 'node:path';

/**
 * A queue that tells when it is empty.
 */
export class Queue extends EventEmitter {
  #items = [];

  constructor(limit = 10) {
    super();
    this.limit = limit;
  }

  get size() { return this.#items.length; }

  push(item) {
    if (this.#items.length >= this.limit) {
      throw new RangeError(`queue is full (${this.limit})`);
    }
    this.#items.push(item);
    this.emit('push', item);
    return this.size;
  }

  async *drain() {
    while (this.#items.length > 0) {
      yield await this.#items.shift();
    }
    this.emit('empty');
  }
}

const defaults = {
  limit: 10,
  retries: 3,
  onError: (error) => console.error(error),
};

// Older callers want a function.
export function makeQueue(options) {
  const { limit } = { ...defaults, ...options };
  return new Queue(limit);
}

export const basename = (file) => path.basename(file, '.js');

module.exports = { Queue, makeQueue };
