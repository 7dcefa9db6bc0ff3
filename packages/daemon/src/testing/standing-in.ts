import type { Engine } from '@vivarium/engine';
import type { Vivarium, Vm } from '@vivarium/model';

/** The same object, but for these members. Methods stay those of the original, private fields and all. */
export function standingIn<T extends object>(original: T, members: Partial<T>): T {
  return new Proxy(original, {
    get(target, key) {
      if (Object.hasOwn(members, key)) return members[key as keyof T];
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** An engine with other rooms than its own. */
export function withRooms(engine: Engine, rooms: Partial<Vivarium>): Engine {
  return standingIn(engine, rooms as Partial<Engine>);
}

/** An engine whose VMs have other members than its own. */
export function withVms(engine: Engine, members: (vm: Vm) => Partial<Vm>): Engine {
  const get = async (idOrName: string) => {
    const vm: Vm = await engine.get(idOrName);
    return standingIn(vm, members(vm));
  };
  return standingIn(engine, { get: get as Engine['get'] });
}
