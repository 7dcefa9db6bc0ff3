import { driverConformance } from '../conformance/suite.ts';
import { SimulatedMachines } from './simulated-machines.ts';

driverConformance('simulated', () => SimulatedMachines.open());
