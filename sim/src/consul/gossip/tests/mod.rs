mod converge;
mod driver;
mod failure;
mod spread;
