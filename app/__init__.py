"""This deployment of Persist: the three entities of the showcase, for users to
replace."""
