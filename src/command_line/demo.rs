//! `imagedepot demo`
use clap::Args;
/// x
#[derive(Debug, Args)]
pub struct DemoArgs {}
pub async fn run(_args: DemoArgs) -> anyhow::Result<()> {
    Ok(())
}
