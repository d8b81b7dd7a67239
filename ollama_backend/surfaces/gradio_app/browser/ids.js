// Names of conversations and messages, and of what the page calls on the server.

/** 32 hexadecimal digits. `crypto.randomUUID` would need https. */
export const newId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export const isId = (text) => /^[0-9a-f]{32}$/.test(text);
