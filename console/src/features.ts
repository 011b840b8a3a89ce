// What is drawn only where the service has it.

/** `as_of` and the trash (contract of the API, section "Time"). */
export const HAS_TIME = false;
