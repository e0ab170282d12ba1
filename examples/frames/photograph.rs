//! The only frame that is looked at: it is drawn at four times the size, reduced, read back and
//! written.
use super::Result;
use super::draw::Pen;
use super::flight::Flight;
use super::images::{COLOUR, Targets, Use, level, turn};
use fencepost::{
    AllocationDesc, Allocator, Buffer, BufferDesc, ImageDesc,
    vk::{self, AccessFlags2 as Access, PipelineStageFlags2 as Stage},
};
use std::io::Write;

/// Draws a frame of the flight and returns its pixels: rows of red, green, blue, alpha.
pub(crate) fn take(
    flight: &mut Flight,
    allocator: &Allocator,
    number: u32,
    size: vk::Extent2D,
) -> Result<Vec<u8>> {
    let large = vk::Extent2D { width: 2 * size.width, height: 2 * size.height };
    let bytes = u64::from(size.width) * u64::from(size.height) * 4;
    let readback = allocator.create_buffer(
        &BufferDesc::new(bytes, vk::BufferUsageFlags::TRANSFER_DST),
        &AllocationDesc::readback().name("photograph pixels"),
    )?;
    let point = flight
        .frame(number, large, |pen, targets| reduce(pen, allocator, targets, size, &readback))?;
    flight.wait(point)?;
    let mut pixels = vec![0; bytes as usize];
    readback.read(0, &mut pixels)?;
    Ok(pixels)
}

/// Records the way of the pixels: two by two become one, then they go to host memory.
fn reduce(
    pen: &Pen<'_>,
    allocator: &Allocator,
    targets: &Targets,
    size: vk::Extent2D,
    readback: &Buffer,
) -> Result<()> {
    let usage = vk::ImageUsageFlags::TRANSFER_DST | vk::ImageUsageFlags::TRANSFER_SRC;
    let small = allocator.create_image(
        &ImageDesc::new_2d(COLOUR, size.width, size.height, usage),
        &AllocationDesc::device_local().name("photograph"),
    )?;
    pen.barriers(&[
        turn(&targets.colour.image, Use::ColourTarget, Use::CopySource),
        turn(&small, Use::Nothing, Use::CopyTarget),
    ]);
    let corners = |size: vk::Extent2D| {
        let corner = vk::Offset3D { x: size.width as i32, y: size.height as i32, z: 1 };
        [vk::Offset3D::default(), corner]
    };
    let blit = vk::ImageBlit {
        src_subresource: level(0),
        src_offsets: corners(targets.size),
        dst_subresource: level(0),
        dst_offsets: corners(size),
    };
    let copy = vk::BufferImageCopy::default()
        .image_subresource(level(0))
        .image_extent(vk::Extent3D { width: size.width, height: size.height, depth: 1 });
    let for_the_host = [vk::BufferMemoryBarrier2::default()
        .buffer(readback.handle())
        .size(vk::WHOLE_SIZE)
        .src_stage_mask(Stage::ALL_TRANSFER)
        .src_access_mask(Access::TRANSFER_WRITE)
        .dst_stage_mask(Stage::HOST)
        .dst_access_mask(Access::HOST_READ)
        .src_queue_family_index(vk::QUEUE_FAMILY_IGNORED)
        .dst_queue_family_index(vk::QUEUE_FAMILY_IGNORED)];
    let dependency = vk::DependencyInfo::default().buffer_memory_barriers(&for_the_host);
    let (from, to) = (vk::ImageLayout::TRANSFER_SRC_OPTIMAL, vk::ImageLayout::TRANSFER_DST_OPTIMAL);
    let (commands, device) = (pen.commands, &pen.pipelines.device);
    // SAFETY: the command buffer is being recorded; the images are in the layouts named, their
    // extents are those given, and the buffer holds all pixels.
    unsafe {
        let large = targets.colour.image.handle();
        let filter = vk::Filter::LINEAR;
        device.cmd_blit_image(commands, large, from, small.handle(), to, &[blit], filter);
        pen.barriers(&[turn(&small, Use::CopyTarget, Use::CopySource)]);
        device.cmd_copy_image_to_buffer(commands, small.handle(), from, readback.handle(), &[copy]);
        device.cmd_pipeline_barrier2(commands, &dependency);
    }
    Ok(())
}

/// Writes pixels as a PNG.
pub(crate) fn write_png(out: impl Write, size: vk::Extent2D, pixels: &[u8]) -> Result<()> {
    let mut encoder = png::Encoder::new(out, size.width, size.height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}
