import { hypeman, type HypemanState as Word } from '@vivarium/lifecycle/hypeman';
import { allStates, type State } from '@vivarium/lifecycle/states';

/** hypeman's words as they can stand in an answer: what is `gone` has none. */
export type HypemanState = Exclude<Word, 'gone'>;

const isWire = (word: Word): word is HypemanState => word !== 'gone';

export const hypemanStates: readonly HypemanState[] = hypeman.vocabulary.filter(isWire);

/** The projection of the life cycle. The last word on a VM that is just being deleted is that it is stopped. */
export function stateToWire(state: State): HypemanState {
  const word = hypeman.words[state];
  return isWire(word) ? word : 'Stopped';
}

/** All states that hypeman would call so. */
export function statesBehind(wire: HypemanState): State[] {
  return allStates.filter((state) => stateToWire(state) === wire);
}
