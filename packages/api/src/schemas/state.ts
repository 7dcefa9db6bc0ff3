import { allStates, type State } from '@vivarium/lifecycle';
import Type, { type Static } from 'typebox';
import { hypemanStates } from '../wire/state.ts';

export const WireState = Type.Enum([...hypemanStates], { description: 'The state in the words of hypeman.' });
export type WireState = Static<typeof WireState>;

export const VivState = Type.Enum([...allStates] as [State, ...State[]], {
  description: 'The exact state; see docs/lifecycle.md.',
});
