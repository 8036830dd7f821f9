// Settings: what this export does after it is made; null: nothing. The export writes them here, out of an update's reach.

export const LIFE = null;
