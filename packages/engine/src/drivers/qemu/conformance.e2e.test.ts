import { driverConformance } from '../conformance/suite.ts';
import { RealMachines } from './real-machines.ts';

driverConformance('qemu', () => RealMachines.open());
