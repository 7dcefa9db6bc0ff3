import { customAlphabet } from 'nanoid';

const letters = 'abcdefghijklmnopqrstuvwxyz';
const first = customAlphabet(letters, 1);
const rest = customAlphabet(`0123456789${letters}`, 23);

/** 24 lower-case letters and digits, a letter first: 124 random bits, in the form of a CUID2. */
export const createId = (): string => first() + rest();
